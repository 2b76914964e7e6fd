"""No statement and no command of the application reads a table or a collection whole."""

import pytest

from tests.system.plans.conftest import Asked
from tests.system.plans.data import FEW, SMALL
from tests.system.plans.ports import METHODS, NO_QUERIES


@pytest.mark.parametrize("method", [method for method in METHODS if method not in NO_QUERIES])
def test_a_method_of_a_port_is_served_by_indexes(asked: Asked, method: str) -> None:
    statements = [one for one in asked.statements if one.method == method]
    commands = [one for one in asked.commands if one.method == method]
    assert statements or commands, "nothing was asked by it: drive it in tests/system/plans/exercise.py"
    faults = [fault for one in statements for fault in asked.sql.faults(one)]
    others = [fault for one in commands for fault in asked.mongo.faults(one)]
    assert not faults + others, "\n\n".join(map(str, [*faults, *others][:3]))


def test_what_is_asked_past_the_ports_is_served_by_indexes(asked: Asked) -> None:
    faults = [fault for one in asked.statements if not one.method for fault in asked.sql.faults(one)]
    others = [fault for one in asked.commands if not one.method for fault in asked.mongo.faults(one)]
    assert not faults + others, "\n\n".join(map(str, [*faults, *others][:3]))


def test_every_table_has_rows_enough_to_plan_for(asked: Asked) -> None:
    few = {table for table, rows in asked.sql.rows.items() if rows <= FEW}
    assert few == SMALL.keys()


def test_no_method_is_both_asked_for_and_left_out(asked: Asked) -> None:
    assert set(METHODS) >= NO_QUERIES
    assert NO_QUERIES.isdisjoint({one.method for one in [*asked.statements, *asked.commands]})
