"""Every route stays within its declared round trips, however much it finds, on embedded adapters and real engines."""

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis
from werkzeug.test import TestResponse

from app.http.edge.operator import OPERATOR
from config import Settings
from repositories.sqlite.file import path_of
from tests.apps import BASE, ROLES, embedded, running
from tests.engines import Shared
from tests.http.drives import DRIVES, FURTHER, Drive, Route
from tests.http.world import Call, ShiftedClock, World
from tests.system.real import KEYSPACE, real_urls

# Numbers of things to find. PAGE is more than a default page, for reads on the engines; SOME, for all else, suffices to
# see whether costs grow. The long form uses a larger number for all.
FEW, PAGE, SOME = 1, 21, 7
LONG_FORM = os.environ.get("QUARTET_BUDGET_MANY")
# A budget may exceed the measured cost by this: a page may need one more call of a store than here.
SPARE = 1
STORE = re.compile(r'(\w+);dur=\d+\.\d\d;desc="(\d+) round trips?"')
# Routes outside of the API.
FREE = {
    "/",
    "/openapi.json",
    "/docs",
    "/docs/<any('swagger-ui.css', 'swagger-ui-bundle.js', 'start.js'):name>",
    "/metrics",
    "/problems",
    "/problems/<code>",
}
# The console's pages have no budgets, since they have few users. The stores panel asks all stores.
CONSOLE = "/console"
# Routes whose costs grow with the lines of an order: each line changes stock by its own statement, in a fixed order.
BY_LINE = {("POST", f"/orders{rest}") for rest in ("", "/<uuid:order_id>/cancel", "/<uuid:order_id>/refunds")}


@pytest.fixture(scope="module", params=["embedded", pytest.param("real", marks=pytest.mark.engines)])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("budgets")
    urls: dict[str, Any] = embedded(directory) | {"cache_url": f"sqlite:///{directory}/cache.db"}
    if request.param == "real":
        engines: Shared = request.getfixturevalue("engines")
        urls = real_urls(engines, "budgets", keyspace=KEYSPACE)
    # Long timeouts, for engines that share a small machine.
    slow: dict[str, Any] = {f"{role}_timeout": 10.0 for role in ROLES}
    clock = ShiftedClock()
    with running(Settings(**urls, **slow), clock) as system:
        world = World(system, clock, real=request.param == "real")
        # Two costs that occur once, whatever the route: Redis lacks a script until its first use, and the first deposit
        # in a currency opens the provider's account.
        for person in world.people(1):
            person.rich()
        yield world


def endpoints(world: World) -> dict[Route, str]:
    return {
        (method, rule.rule.removeprefix(BASE)): rule.endpoint
        for rule in world.system.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule not in FREE and not rule.rule.startswith((CONSOLE, OPERATOR))
    }


def budgets(world: World) -> dict[Route, dict[str, int] | None]:
    """The declared budget of every route, or None."""
    views = world.system.app.view_functions
    return {route: getattr(views[name], "budget", None) for route, name in endpoints(world).items()}


def test_every_route_declares_a_budget(world: World) -> None:
    missing = [" ".join(route) for route, budget in sorted(budgets(world).items()) if budget is None]
    assert not missing, f"put @budget(...) on these views: {missing}"


def test_every_route_has_a_driver(world: World) -> None:
    missing = [" ".join(route) for route in sorted(budgets(world)) if route not in DRIVES]
    assert not missing, f"add these to tests/http/drives.py: {missing}"


@pytest.mark.parametrize("route", DRIVES, ids=" ".join)
def test_a_route_keeps_to_its_budget_however_much_it_finds(world: World, route: Route) -> None:
    budget = budgets(world).get(route) or {}
    costs = [cost for way in ways(route) for cost in measured(world, route, way)]
    most = {store: max(cost.get(store, 0) for cost in costs) for cost in costs for store in cost}
    needed = f"@budget({', '.join(f'{store}={most[store]}' for store in ROLES if most.get(store))})"
    assert all(most[store] <= budget.get(store, 0) for store in most), f"declares {budget}, needs {needed}"
    loose = {store for store in budget if budget[store] > most.get(store, 0) + SPARE}
    assert not (loose and world.real), f"declares {budget}, needs no more than {needed}"


def ways(route: Route) -> list[Drive]:
    return [DRIVES[route], *(drive for other, drive in FURTHER if other == route)]


def callers(world: World, route: Route, call: Call) -> list[Call]:
    """The call; for a public read also the same call without a session."""
    view = world.system.app.view_functions[endpoints(world)[route]]
    anybody = route[0] == "GET" and getattr(view, "access", None) == "public"
    return [call, replace(call, who=world.system.anybody())] if anybody else [call]


def measured(world: World, route: Route, drive: Drive) -> list[dict[str, int]]:
    """The costs with few and with many things to find. Asserts that no store costs more with many."""
    much = int(LONG_FORM) if LONG_FORM else PAGE if world.real and route[0] == "GET" else SOME
    few, many = (driven(world, route, drive, count) for count in (FEW, much))
    if route in BY_LINE:
        return few
    for of_few, of_many in zip(few, many, strict=True):
        more = {store for store in of_many if of_many[store] > of_few.get(store, 0)}
        assert not more, f"{of_few} for one, {of_many} for many"
    return [*few, *many]


def driven(world: World, route: Route, drive: Drive, count: int) -> list[dict[str, int]]:
    """The costs of the route for each caller: with a cold cache, and for a read also with a warm one."""
    world.forget_events()
    costs: list[dict[str, int]] = []
    for call in callers(world, route, drive(world, count)):
        empty_cache(world.system.container.settings.cache_url)
        for _ in range(2 if route[0] == "GET" else 1):
            forget_in_flight(world)
            costs.append(cost(send(route[0], call)))
    return costs


def forget_in_flight(world: World) -> None:
    """Drop the process's short-lived memo of posts in flight; otherwise costs would depend on the machine's speed."""
    world.system.container.feeds.timelines._in_flight._last = None


def send(method: str, call: Call) -> TestResponse:
    headers = {"Idempotency-Key": str(uuid4())} if call.keyed else {}
    if call.etag:
        headers["If-Match"] = call.etag
    options = {} if call.body is None else {"json": call.body}
    answer = call.who.send(method, call.path, headers=headers, query_string=call.query, **options)
    assert answer.status_code < 300, answer.get_data(as_text=True)
    answer.close()
    return answer


def cost(answer: TestResponse) -> dict[str, int]:
    return {store: int(trips) for store, trips in STORE.findall(answer.headers["Server-Timing"])}


def empty_cache(url: str) -> None:
    if not url.startswith("sqlite:"):
        with Redis.from_url(url) as redis:
            redis.flushdb()
        return
    with closing(sqlite3.connect(path_of(url), isolation_level=None)) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            connection.execute(f"DELETE FROM {table}")  # noqa: S608  its own tables
