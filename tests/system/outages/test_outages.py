"""The contract of `docs/outages.md`: some routes in CI; the long form tests all of them and writes the table."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apps import BASE, ROLES
from tests.engines import Engines, Shared
from tests.engines.slack import SLACK
from tests.http.drives import DRIVES, Route
from tests.system.outages.matrix import TROUBLES, Cell, ProxiedSystem, Trouble, proxied_system
from tests.system.outages.table import PAGE, documented, named, new_routes, outcome, rendered, written
from tests.system.real import KEYSPACE, on_postgres, real_urls

OPENAPI = PAGE.with_name("openapi.json")
# Seconds: the deadline by the default settings, and how much longer an answer may take.
DEADLINE, BEYOND = 5.0, 0.1
# Seconds: the deadline of a request in the short form, and the longer one of each store call.
SOON, LATE = 0.5, 30.0
SOME: list[Route] = [
    *(("GET", path) for path in ("/health/live", "/health/ready", "/tags", "/feed", "/notifications", "/wallet")),
    *(("GET", path) for path in ("/accounts/<handle:handle>", "/accounts/me/export")),
    *(("POST", path) for path in ("/accounts", "/wallet/deposits", "/notifications/read")),
]
FEW: list[Route] = [("GET", "/tags"), ("GET", "/notifications"), ("POST", "/wallet/deposits")]
CELLS = [(role, trouble) for role in ROLES for trouble in TROUBLES if (role, trouble) != ("feeds", "read-only")]


def assert_kept(cells: list[Cell], deadline: float) -> None:
    assert [cell for cell in cells if cell.amiss] == []
    assert [cell for cell in cells if cell.seconds > deadline + BEYOND + SLACK] == []


def test_every_route_is_in_the_table() -> None:
    paths = json.loads(OPENAPI.read_text(encoding="utf-8"))["paths"]
    verbs = ("get", "post", "put", "patch", "delete")
    routes = {f"{v.upper()} {path.removeprefix(BASE)}" for path, item in paths.items() for v in verbs if v in item}
    rows = documented(PAGE.read_text(encoding="utf-8"))
    missing = {(role, route) for role in ROLES for route in routes if (role, "refused", route) not in rows}
    assert missing == set(), "`make outages QUARTET_OUTAGES_ROUTES=new` writes their rows"


@pytest.fixture(scope="module")
def shared_system(engines: Shared) -> Iterator[ProxiedSystem]:
    patient = {f"{role}_timeout": LATE for role in ROLES}
    with proxied_system(
        real_urls(engines, "outages", keyspace=KEYSPACE), own=False, request_timeout=SOON, **patient
    ) as made:
        yield made


@pytest.mark.parametrize("role", ROLES)
def test_without_a_store_some_routes_answer_as_in_the_table(shared_system: ProxiedSystem, role: str) -> None:
    cells = shared_system.cells(role, "refused", SOME)
    assert_kept(cells, SOON)
    rows = documented(PAGE.read_text(encoding="utf-8"))
    said = {named(cell.route): outcome(cell) for cell in cells}
    assert said == {route: rows[role, "refused", route] for route in said}


@pytest.fixture(scope="module")
def system_on_postgres(engines: Shared) -> Iterator[ProxiedSystem]:
    """Every role on one PostgreSQL server, each behind its own proxy."""
    with proxied_system(on_postgres(engines, ROLES), own=False) as made:
        yield made


@pytest.mark.proof
@pytest.mark.parametrize("role", ROLES)
def test_the_table_holds_on_postgresql_alone_too(system_on_postgres: ProxiedSystem, role: str) -> None:
    cells = system_on_postgres.cells(role, "refused", SOME)
    assert_kept(cells, DEADLINE)
    rows = documented(PAGE.read_text(encoding="utf-8"))
    said = {named(cell.route): outcome(cell) for cell in cells}
    assert said == {route: rows[role, "refused", route] for route in said}


@pytest.mark.parametrize("role", ["relational", "documents", "feeds", "sessions"])
def test_a_request_has_one_deadline_for_all_of_its_calls(shared_system: ProxiedSystem, role: str) -> None:
    assert_kept(shared_system.cells(role, "frozen", FEW), SOON)


@pytest.fixture(scope="module")
def own_system(own_engines: Engines) -> Iterator[ProxiedSystem]:
    own_engines.start_all()
    with proxied_system(real_urls(own_engines, "outages"), own=True) as made:
        yield made


@pytest.fixture(scope="module")
def matrix() -> Iterator[dict[tuple[str, Trouble], list[Cell]]]:
    """Filled by the tests. Written to the page that the environment names, if it is complete."""
    found: dict[tuple[str, Trouble], list[Cell]] = {}
    yield found
    wanted = os.environ.get("QUARTET_OUTAGES")
    if wanted and len(found) == len(CELLS):
        page = Path(wanted)
        text = page.read_text(encoding="utf-8")
        page.write_text(written(text, "matrix", rendered(found, text)), encoding="utf-8")


@pytest.mark.proof
@pytest.mark.parametrize(("role", "trouble"), CELLS)
def test_every_route_keeps_the_contract(
    own_system: ProxiedSystem, matrix: dict[tuple[str, Trouble], list[Cell]], role: str, trouble: Trouble
) -> None:
    own_system.warm()
    new = new_routes(PAGE.read_text(encoding="utf-8")) if os.environ.get("QUARTET_OUTAGES_ROUTES") == "new" else DRIVES
    cells = matrix[role, trouble] = own_system.cells(role, trouble, list(new))
    assert_kept(cells, DEADLINE)
