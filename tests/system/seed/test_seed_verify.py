"""Verifying finds what differs."""

from collections.abc import Callable

import pytest

from app.container import Container
from app.seed.plan import Plan
from tests.system.seed.damage import PLANTED
from tests.system.seed.loads import differences, load


@pytest.mark.parametrize("planted", PLANTED)
def test_verify_finds_what_differs(
    container: Container, plan: Plan, number: int, planted: Callable[[Container, Plan], str]
) -> None:
    load(container, plan)
    line = planted(container, plan)
    found = differences(container, plan)
    assert [one for one in found if one.startswith(line)], found
