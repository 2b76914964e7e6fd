"""How long a writer waits after a drop of cached keys that failed, and that each such drop is counted."""

from typing import Any, Self

import pytest

from app.services.pages.lost_drops import COVERED_SECONDS, WAIT_SECONDS, LostDrops


class Counters:
    """A relational store that counts lost drops. It is also its own transaction."""

    def __init__(self) -> None:
        self.lost = 0
        self.fanouts: Any = self

    def transaction(self) -> "Counters":
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def lose(self) -> None:
        self.lost += 1


@pytest.mark.parametrize(
    ("after", "waited"),
    [
        (WAIT_SECONDS / 2, WAIT_SECONDS / 2),
        (WAIT_SECONDS, 0),
        (COVERED_SECONDS - 0.1, 0),
        (COVERED_SECONDS + 0.1, WAIT_SECONDS),
    ],
)
def test_a_call_soon_after_another_waits_only_the_remaining_time(after: float, waited: float) -> None:
    now, waits = [100.0], list[float]()
    counters: Any = Counters()
    lost = LostDrops(counters, lambda: now[0], waits.append)
    lost.settle()
    assert waits == [pytest.approx(WAIT_SECONDS)]
    now[0] += after
    lost.settle()
    assert sum(waits[1:]) == pytest.approx(waited)
    assert counters.lost == 2
