"""After a restore every GET has the same answer as in the dumped system, byte for byte."""

from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from config import Settings
from tests.apps import PASSWORD, Person, System, embedded, running
from tests.http.drives import DRIVES, FURTHER
from tests.http.test_budgets import send
from tests.http.world import Call, ShiftedClock, World
from tests.system.backup.conftest import add_rare_records, quartet

SOME = 3
# Routes whose answers include data that is not in a dump (docs/backups.md) or the time of the request.
OTHERWISE = {
    "/accounts/me/export": "has the sessions and notifications",
    "/feed/stream": "does not end",
    "/health/ready": "contains the times that the stores took",
    "/notifications": "cannot be rebuilt",
    "/posts/<uuid:post_id>/delivery": "is about the former fan-out",
    "/sessions": "people sign in again",
    "/sessions/<uuid:session_id>": "people sign in again",
    "/wallet/statement": "ends now",
    "/wallet/statement.csv": "ends now",
}
Asked = list[tuple[str, Call]]

# A proof only, since `test_backup.py` compares the records one by one.
pytestmark = pytest.mark.proof


def asked_of(world: World) -> Asked:
    drives = [(route, prepare) for route, prepare in (*DRIVES.items(), *FURTHER) if route[0] == "GET"]
    return [(path, prepare(world, SOME)) for (_, path), prepare in drives if path not in OTHERWISE]


def answers(system: System, asked: Asked) -> list[Any]:
    signed_in: dict[str, str | None] = {}
    found = []
    for path, call in asked:
        handle = call.who.account.get("handle", "")
        if handle and handle not in signed_in:
            login = {"login": handle, "password": PASSWORD}
            signed_in[handle] = system.anybody().post("/sessions", login)["token"]
        who = Person(system.app.test_client(), signed_in.get(handle), {})
        answer = who.send("GET", call.path, query_string=call.query)
        found.append((path, answer.status_code, *_compared(path, answer)))
    return found


def _compared(path: str, answer: TestResponse) -> tuple[Any, ...]:
    if path == "/feed":
        # The cursor for newer posts contains the time of this request.
        return (answer.get_json() | {"prev": ""},)
    return answer.headers.get("ETag"), answer.data


def test_every_get_is_answered_as_before_the_dump(other_stores: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    urls, clock, path = embedded(tmp_path / "before"), ShiftedClock(), tmp_path / "quartet.dump"
    with running(Settings(**urls, views_seconds=0.0), clock) as system:
        world = World(system, clock, real=False)
        for (method, _), prepare in DRIVES.items():
            if method != "GET":
                send(method, prepare(world, 1))
        add_rare_records(world)
        asked = asked_of(world)
        assert quartet(urls, "dump", str(path)).exit_code == 0
        before = answers(system, asked)
    for command in (["restore", str(path)], ["rebuild", "feeds"]):
        assert quartet(other_stores, *command).exit_code == 0
    with running(Settings(**other_stores, views_seconds=0.0), clock) as system:
        after = answers(system, asked)
    assert [one for one in zip(before, after, strict=True) if one[0] != one[1]] == []
    assert {one[0] for one in before} | OTHERWISE.keys() >= {path for method, path in DRIVES if method == "GET"}
