"""Replicas as metrics: what the process that answers the scrape has seen of them last."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from repositories.store import Store


class ReplicaGauges(Collector):
    """Replicas are numbered from 1, in the order of the configuration."""

    def __init__(self, stores: Mapping[str, Store]) -> None:
        self._stores = {name: store for name, store in stores.items() if store.replicated}

    def describe(self) -> list[GaugeMetricFamily]:
        return list(_families())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        serves, seconds, size = _families()
        for name, store in self._stores.items():
            for number, replica in enumerate(store.replicas(), 1):
                labels = [name, str(number)]
                serves.add_metric(labels, replica.serves)
                if replica.lag_seconds is not None:
                    seconds.add_metric(labels, replica.lag_seconds)
                if replica.lag_bytes is not None:
                    size.add_metric(labels, replica.lag_bytes)
        yield from (serves, seconds, size)


def _families() -> tuple[GaugeMetricFamily, ...]:
    return tuple(
        GaugeMetricFamily(f"quartet_replica_{name}", about, labels=["store", "replica"])
        for name, about in (
            ("serves", "1 when reads go there"),
            ("lag_seconds", "how far it is behind the primary, where that is known"),
            ("lag_bytes", "log of the primary that it has not replayed"),
        )
    )
