"""The consistency table lists every operation of every port once, and the page is generated from it."""

import runpy

from repositories.read_your_writes import MAY_LAG
from tests.system.consistency import OTHER_METHODS, ROWS, SOURCE, TABLE
from tests.system.plans.ports import METHODS

PAGE = runpy.run_path(str(TABLE.with_suffix(".py")))["page"]


def test_every_operation_is_in_one_row() -> None:
    named = sorted(operation for row in ROWS for operation in row["operations"])
    assert named == sorted([*METHODS, *OTHER_METHODS])


def test_the_page_is_generated_from_the_table() -> None:
    assert TABLE.with_suffix(".md").read_text() == PAGE(SOURCE), "run `make consistency`"


def test_reads_that_may_lag_are_those_that_go_to_replicas() -> None:
    found = {operation for row in ROWS if row["replica"] for operation in row["operations"]}
    assert found == {
        f"{role}.{part}.{name}" for role, parts in MAY_LAG.items() for part, names in parts.items() for name in names
    }
