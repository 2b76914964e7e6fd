"""The `Location` of a 201 exists: its creator gets a 200 for it."""

import re
from collections.abc import Iterator
from uuid import uuid4

import pytest

from config import Settings
from tests.apps import BASE, embedded, running
from tests.http.drives import DRIVES, Route
from tests.http.world import ShiftedClock, World
from tests.system.document import OPERATIONS

MAKING = {(o.method, o.path): o.described["responses"]["201"] for o in OPERATIONS if "201" in o.described["responses"]}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    clock = ShiftedClock()
    with running(Settings(**embedded(tmp_path_factory.mktemp("locations"))), clock) as system:
        yield World(system, clock, real=False)


def documented(route: Route) -> tuple[str, str]:
    return route[0], BASE + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route[1])


def test_every_201_is_documented_with_its_location() -> None:
    assert len(MAKING) >= 8
    assert all("Location" in answer["headers"] for answer in MAKING.values())
    assert MAKING.keys() <= {documented(route) for route in DRIVES}


@pytest.mark.parametrize("route", [route for route in DRIVES if documented(route) in MAKING], ids=" ".join)
def test_the_location_of_a_201_can_be_read(world: World, route: Route) -> None:
    call = DRIVES[route](world, 1)
    made = call.who.send(route[0], call.path, json=call.body, headers={"Idempotency-Key": str(uuid4())})
    assert made.status_code == 201, made.text
    call.who.token = made.get_json().get("token", call.who.token)  # a sign-in makes a new session
    read = call.who.send("GET", made.headers["Location"].removeprefix(BASE))
    assert read.status_code == 200, read.text
    assert read.headers["ETag"]
