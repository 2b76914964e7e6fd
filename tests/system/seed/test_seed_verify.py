"""Verifying finds what differs."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from app.container import Container
from app.seed.plan import Plan
from tests.apps import embedded, running
from tests.system.seed.damage import PLANTED
from tests.system.seed.loads import TINY, differences, load, settings

# One for each store; the others on the engines are a proof.
ON_ENGINES = {"delete_post", "unfollow", "lose_a_delivery", "spend"}


@pytest.mark.long
@pytest.mark.parametrize(
    "planted",
    [pytest.param(one, marks=() if one.__name__ in ON_ENGINES else pytest.mark.proof(on="engines")) for one in PLANTED],
)
def test_verify_finds_what_differs(
    container: Container, plan: Plan, number: int, planted: Callable[[Container, Plan], str]
) -> None:
    load(container, plan)
    line = planted(container, plan)
    found = differences(container, plan)
    assert [one for one in found if one.startswith(line)], found


def test_verify_audits_the_books(tmp_path: Path) -> None:
    plan = Plan(TINY)
    with running(settings(embedded(tmp_path))) as system:
        load(system.container, plan)
        with closing(sqlite3.connect(tmp_path / "quartet.db")) as file:
            file.execute("UPDATE ledger_accounts SET head = zeroblob(32) WHERE entries > 0")
            file.commit()
        found = differences(system.container, plan)
    assert found
    assert all(line.startswith("ledger account ") for line in found)
