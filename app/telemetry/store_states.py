"""Whether each store answers and takes writes, asked when metrics are scraped: an outage shows without any traffic."""

from collections.abc import Iterator, Mapping
from functools import partial

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from app.telemetry.background import Background
from repositories.errors import ReadOnly, StoreError
from repositories.store import Store


class StoreStates(Collector):
    def __init__(self, stores: Mapping[str, Store]) -> None:
        self._asking = Background({name: partial(_state, store) for name, store in stores.items()})

    def describe(self) -> list[GaugeMetricFamily]:
        return list(_families())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        up, writable = _families()
        for name, state in self._asking.answers().items():
            answers, writes = state or (False, False)
            up.add_metric([name], answers)
            writable.add_metric([name], writes)
        yield from (up, writable)


def _state(store: Store) -> tuple[bool, bool]:
    """Whether it answers, whether it takes writes."""
    try:
        store.ping()
    except ReadOnly:
        return True, False
    except StoreError:
        return False, False
    return True, True


def _families() -> tuple[GaugeMetricFamily, ...]:
    return tuple(
        GaugeMetricFamily(f"quartet_store_{name}", about, labels=["store"])
        for name, about in (
            ("up", "1 when the store answered this process in time"),
            ("writable", "1 when it takes writes too"),
        )
    )
