"""The answer of every route, and its duration, while one store has one fault."""

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from time import monotonic
from typing import Any, Literal, get_args
from unittest.mock import patch
from uuid import uuid4

from msgspec import Struct
from werkzeug.test import TestResponse

from config import Settings
from repositories.deadline import within
from repositories.errors import StoreError
from tests.apps import ROLES, Person, running
from tests.engines.kernel import wait_until
from tests.engines.proxy import Fault, Proxies, Proxy
from tests.http.drives import DRIVES, Route
from tests.http.world import Call, ShiftedClock, World
from tests.system.outages.read_only import READ_ONLY, move_member

Trouble = Literal[Fault, "read-only"]
TROUBLES: tuple[Trouble, ...] = (*get_args(Fault), "read-only")
# Concurrent requests, each with a thread and a connection to each store.
AT_ONCE = 12
# Routes whose bodies are read while they are sent: the deadline only applies to their heads.
STREAMED = {"/accounts/me/export", "/wallet/statement.csv", "/feed/stream"}
WARMING = 4
READY_SECONDS = 30.0
RECOVERY_SECONDS = 60


class Cell(Struct, frozen=True):
    """One answer, `seconds` after its request. `amiss` says how it violates the contract; empty if it does not."""

    route: Route
    status: int
    code: str
    seconds: float
    amiss: str = ""


class ProxiedSystem:
    """A system whose stores are behind proxies."""

    def __init__(self, world: World, proxies: dict[str, Proxy]) -> None:
        self.world = world
        self.proxies = proxies

    def warm(self) -> None:
        """Use every connection pool concurrently, so that the connections are open."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(warm_account, self.world.people(AT_ONCE)))

    def cells(self, role: str, trouble: Trouble, routes: Collection[Route] = DRIVES.keys()) -> list[Cell]:
        """The answer of each route to a request that was prepared before the fault."""
        # Preparation has its own, long deadline.
        with patch("app.http.edge.deadline.within", lambda _seconds: within(READY_SECONDS)):
            calls = {route: DRIVES[route](self.world, 1) for route in sorted(routes, key=is_cancellation)}
        with self.with_fault(role, trouble), ThreadPoolExecutor(AT_ONCE) as pool:
            # Each call has its own person, so a sign-out or a deletion does not affect the others.
            return list(pool.map(lambda route: answered(route, calls[route]), calls))

    @contextmanager
    def with_fault(self, role: str, trouble: Trouble) -> Iterator[None]:
        proxy = self.proxies[role]
        mend: Callable[[], None]
        if trouble == "read-only":
            mend = READ_ONLY[role](proxy.behind)
        else:
            proxy.inject(trouble)
            mend = proxy.heal
        try:
            yield
        finally:
            mend()
            assert wait_until(self.is_well, RECOVERY_SECONDS), f"{role} was {trouble}, and is still unavailable"

    def is_well(self) -> bool:
        return bool(self.world.system.anybody().send("GET", "/health/ready").get_json()["status"] == "ok")


@contextmanager
def proxied_system(urls: dict[str, str], *, own: bool, **changes: Any) -> Iterator[ProxiedSystem]:
    """A system on the stores at `urls` (by setting), each behind a proxy. A MongoDB client connects to the addresses
    that the replica set reports. So with `own` the set is reconfigured to report the proxy's address; otherwise the
    client connects directly, without asking for the members.
    """
    with closing(Proxies()) as proxies:
        ways = {role: proxies.before(urls[f"{role}_url"]) for role in ROLES}
        behind = {f"{role}_url": proxy.url for role, proxy in ways.items()}
        if own:
            move_member(ways["documents"])
        else:
            behind["documents_url"] = behind["documents_url"].replace("replicaSet=rs0", "directConnection=true")
        clock = ShiftedClock()
        settings: dict[str, Any] = {**behind, "threads": AT_ONCE, "registrations": 0, "mails": 0, **changes}
        with running(Settings(**settings), clock) as system:
            yield ProxiedSystem(World(system, clock, real=True), ways)


def warm_account(person: Person) -> None:
    for _ in range(WARMING):
        person.get("/wallet")
        person.rich(1)
        person.publish()


def is_cancellation(route: Route) -> bool:
    """A sort key that prepares cancellations last: the preparation of other calls advances the clock, after which an
    order can no longer be cancelled.
    """
    return route[1].endswith("/cancel")


def answered(route: Route, call: Call) -> Cell:
    headers = {"Idempotency-Key": str(uuid4())} if call.keyed else {}
    if call.etag:
        headers["If-Match"] = call.etag
    options = {} if call.body is None else {"json": call.body}
    began = monotonic()
    try:
        answer = call.who.send(route[0], call.path, headers=headers, query_string=call.query, **options)
    except StoreError as error:
        return Cell(route, 0, "", monotonic() - began, f"cut off: {error}")
    if call.path not in STREAMED:
        answer.get_data()
    seconds = monotonic() - began
    found = answer.get_json(silent=True) if answer.status_code >= 400 else None
    code = (found or {}).get("code", "")
    amiss = wrong(route, answer, code)
    answer.close()
    return Cell(route, answer.status_code, code, seconds, amiss)


def wrong(route: Route, answer: TestResponse, code: str) -> str:
    status = answer.status_code
    if status < 300:
        return ""
    if status >= 500 and status != 503:
        return f"{status} {answer.get_data(as_text=True)}"
    if route[1] == "/health/ready":
        return ""
    if answer.content_type != "application/problem+json" or not code:
        return f"{status} without a problem: {answer.get_data(as_text=True)}"
    if status == 503 and "Retry-After" not in answer.headers:
        return "503 without Retry-After"
    return "" if status == 503 else f"{status} {answer.get_data(as_text=True)}"
