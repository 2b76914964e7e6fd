"""Gauges that tell whether each store answers and accepts writes.

Stores are asked at the time of the scrape, so an outage is visible even without traffic.
"""

from collections.abc import Iterator, Mapping
from functools import partial

from app.telemetry.background import Background
from app.telemetry.gauges import Figures, Gauges
from repositories.errors import ReadOnly, StoreError
from repositories.store import Store


class StoreStates(Gauges):
    prefix = "quartet_store"
    labels = ("store",)
    about = {  # noqa: RUF012  a constant
        "up": "1 when the store answered this process in time",
        "writable": "1 when it takes writes too",
    }

    def __init__(self, stores: Mapping[str, Store]) -> None:
        self._states = Background({name: partial(_state, store) for name, store in stores.items()})

    def figures(self) -> Iterator[tuple[list[str], Figures]]:
        for name, state in self._states.answers().items():
            answers, writes = state or (False, False)
            yield [name], {"up": answers, "writable": writes}


def _state(store: Store) -> tuple[bool, bool]:
    """Whether the store answers, and whether it accepts writes."""
    try:
        store.ping()
    except ReadOnly:
        return True, False
    except StoreError:
        return False, False
    return True, True
