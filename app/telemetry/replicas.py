"""Gauges of replicas, as last seen by the process that answers the scrape."""

from collections.abc import Iterator, Mapping

from app.telemetry.gauges import Figures, Gauges
from repositories.store import Store


class ReplicaGauges(Gauges):
    """Replicas are numbered from 1, in the order of the configuration."""

    prefix = "quartet_replica"
    labels = ("store", "replica")
    about = {  # noqa: RUF012  a constant
        "serves": "1 when reads go to this replica",
        "lag_seconds": "how far the replica is behind the primary, where known",
        "lag_bytes": "bytes of the primary's log that the replica has not replayed",
    }

    def __init__(self, stores: Mapping[str, Store]) -> None:
        self._stores = {name: store for name, store in stores.items() if store.replicated}

    def figures(self) -> Iterator[tuple[list[str], Figures]]:
        for name, store in self._stores.items():
            for number, replica in enumerate(store.replicas(), 1):
                yield [name, str(number)], {one: getattr(replica, one) for one in self.about}
