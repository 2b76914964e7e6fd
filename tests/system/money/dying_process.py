"""A request in a process that ends without any clean-up at the n-th point of its calls to the stores.

Points are before each relational statement and each read of the catalogue, and before and after each commit and each
call of the payment provider. Between two points nothing outside the process changes.
"""

import functools
import logging
import os
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from multiprocessing.connection import Connection
from typing import Any

from msgspec import Struct

from app.container import build
from app.http import create_app
from app.services.money.provider import SandboxProvider
from config import Settings
from repositories.documents.sql.products import SqlProducts
from repositories.relational.statement_runner import AutocommitRunner
from repositories.relational.work import Work
from tests.apps import Person, PlainHasher
from tests.shop import Clock
from tests.system.forks import FORKS

KILLED = 137
POINTS: tuple[tuple[type, str, bool], ...] = (
    (AutocommitRunner, "rows", False),
    (Work, "rows", False),
    (Work, "change", False),
    (Work, "commit", True),
    (SqlProducts, "get", False),
    (SandboxProvider, "charge", True),
    (SandboxProvider, "pay_out", True),
)


class ProcessRequest(Struct, frozen=True):
    token: str
    path: str
    body: Any
    key: str


class ProcessEnd(Struct, frozen=True):
    """`passed` are the points up to the end, including the one where the process ended; `commits` counts completed
    commits.
    """

    survived: bool
    passed: list[str]

    @property
    def commits(self) -> int:
        return self.passed.count("after Work.commit")


def send(settings: Settings, now: datetime, request: ProcessRequest, last: int) -> ProcessEnd:
    """Let a new process send the request, and end it at the point with this number, if it reaches that."""
    ours, theirs = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=_run_request, args=(asdict(settings), now, request, last, theirs))
    process.start()
    theirs.close()
    try:
        assert ours.poll(60), "the process does not end"
        passed = ours.recv()
        process.join(30)
        assert process.exitcode in {0, KILLED}
        return ProcessEnd(process.exitcode == 0, passed)
    finally:
        ours.close()
        process.close()


def _run_request(settings: dict[str, Any], now: datetime, request: ProcessRequest, last: int, told: Connection) -> None:
    logging.disable()
    clock = Clock()
    clock.now = now
    container = build(Settings(**settings), clock=clock, hasher=PlainHasher())
    person = Person(create_app(container).test_client(), request.token, {})
    passed: list[str] = []

    def pass_by(point: str) -> None:
        passed.append(point)
        if len(passed) > last:
            told.send(passed)
            os._exit(KILLED)

    for kind, name, after in POINTS:
        setattr(kind, name, _watched(getattr(kind, name), f"{kind.__name__}.{name}", pass_by, after=after))
    answer = person.keyed(request.path, request.body, request.key)
    assert answer.status_code < 300, answer.data
    told.send(passed)
    os._exit(0)


def _watched(
    method: Callable[..., Any], name: str, pass_by: Callable[[str], None], *, after: bool
) -> Callable[..., Any]:
    @functools.wraps(method)
    def watched(*args: Any, **kwargs: Any) -> Any:
        pass_by(f"before {name}")
        result = method(*args, **kwargs)
        if after:
            pass_by(f"after {name}")
        return result

    return watched
