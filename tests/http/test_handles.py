"""A handle that was given up stays reserved for its former owner for 30 days."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from app.services.people.accounts import RESERVED
from config import Settings
from tests.apps import PASSWORD, RELATIONAL, Person, running
from tests.http.world import ShiftedClock, World

A_MOMENT = timedelta(seconds=1)


@pytest.fixture
def world(settings: Settings) -> Iterator[World]:
    clock = ShiftedClock()
    with running(settings, clock) as system:
        yield World(system, clock, real=False)


def rename(who: Person, handle: str, status: int = 200) -> str | None:
    answer = who.patch("/accounts/me", {"handle": handle}, status, etag="*")
    return str(answer["code"]) if status >= 400 else None


def register(world: World, handle: str, status: int = 201) -> str | None:
    body = {"handle": handle, "email": f"{handle}.new@example.com", "password": PASSWORD, "display_name": "New"}
    answer = world.system.anybody().post("/accounts", body, status)
    return str(answer["code"]) if status >= 400 else None


@pytest.mark.parametrize("settings", RELATIONAL, indirect=True)
def test_nobody_else_gets_a_former_handle_for_30_days(world: World) -> None:
    ada, eve = world.system.person("ada"), world.system.person("eve")
    rename(ada, "lovelace")
    assert timedelta(days=30) == RESERVED
    for handle in ("ada", "ADA"):
        assert register(world, handle, 409) == rename(eve, handle, 409) == "handle_taken"
    world.system.anybody().get("/accounts/ada", 404)
    world.clock.ahead += RESERVED - A_MOMENT
    assert register(world, "ada", 409)
    world.clock.ahead += 2 * A_MOMENT
    register(world, "ada")


def test_the_former_owner_may_take_it_back(world: World) -> None:
    ada = world.system.person("ada")
    for handle in ("lovelace", "Ada", "lovelace", "ADA"):
        rename(ada, handle)
    assert register(world, "lovelace", 409)
    assert ada.get("/accounts/ada")["account"]["handle"] == "ADA"


def test_a_change_of_case_reserves_nothing(world: World) -> None:
    ada = world.system.person("ada")
    rename(ada, "ADA")
    with world.system.container.stores.relational.transaction() as tx:
        assert tx.accounts.end_reservations(before=world.clock() + 2 * RESERVED, limit=9) == 0


def test_a_refused_name_reserves_nothing(world: World) -> None:
    ada = world.system.person("ada")
    world.system.person("eve")
    assert rename(ada, "eve", 409) == "handle_taken"
    rename(ada, "ada", 200)
    with world.system.container.stores.relational.transaction() as tx:
        assert tx.accounts.end_reservations(before=world.clock() + 2 * RESERVED, limit=9) == 0


def test_the_handle_of_a_deleted_account_is_kept_too(world: World) -> None:
    ada = world.system.person("ada")
    assert ada.send("DELETE", "/accounts/me", json={"password": PASSWORD}).status_code == 204
    assert register(world, "ada", 409) == "handle_taken"
    world.clock.ahead += RESERVED + A_MOMENT
    register(world, "ada")


def test_the_sweeper_removes_ended_reservations(world: World) -> None:
    ada = world.system.person("ada")
    rename(ada, "lovelace")
    world.system.sweeper.sweep()
    assert register(world, "ada", 409)
    world.clock.ahead += RESERVED + A_MOMENT
    world.system.sweeper.sweep()
    with world.system.container.stores.relational.transaction() as tx:
        assert tx.accounts.end_reservations(before=world.clock() + RESERVED, limit=9) == 0
