"""Reads the metrics of external relays, for the console, from the address where each relay serves them.

A host name may resolve to several relays, as that of a headless Service of Kubernetes does: each address is asked.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from repositories.http_client.dialling import addresses_of
from repositories.http_client.exchange import HttpConnection
from repositories.http_client.origin import Origin

# The longest that a panel of the console waits for all relays together.
SECONDS = 1.0
MOST_BODY = 4 * 1024 * 1024
# The metrics taken from relays. Those of store calls and pools are shown for the console's own server only.
WANTED = {
    "quartet_deliveries",
    "quartet_events",
    "quartet_fanout_lag_seconds",
    "quartet_fanouts_running",
    "quartet_sink_events",
}
# Named as Prometheus's own series about its targets.
UP = "up"


class Relays:
    """The external relays at `addresses`, each `host:port`."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._names = [_origin(one) for one in addresses]
        # The last metrics of each relay, used while it does not answer, so that its counters do not fall and jump.
        self._last: dict[Origin, list[Any]] = {}

    def beside(self, collect: Callable[[], Iterable[Any]]) -> Iterator[Any]:
        """The families of the server itself (`collect`), then those of the relays."""
        yield from collect()
        yield from self.collect()

    def collect(self) -> Iterator[Any]:
        """The metrics of each relay, and `up`: whether it answers. A relay that is gone keeps its last metrics."""
        if not self._names:
            return
        until = time.monotonic() + SECONDS
        with ThreadPoolExecutor(8) as pool:
            places = {place for found in pool.map(lambda name: _places(name, until), self._names) for place in found}
            answers = dict(zip(places, pool.map(lambda place: _families(place, until), places), strict=True))
        up = GaugeMetricFamily(UP, "Whether a relay answers.", labels=["instance"])
        for place, found in answers.items():
            up.add_metric([place.authority], float(found is not None))
            if found is not None:
                self._last[place] = found
        yield up
        for kept in self._last.values():
            yield from kept


def _origin(address: str) -> Origin:
    host, _, port = address.rpartition(":")
    return Origin("http", host.strip("[]"), int(port))


def _places(name: Origin, until: float) -> list[Origin]:
    """One origin per address of the host name; the name itself if it cannot be resolved."""
    try:
        found = addresses_of(name, until)
    except OSError:
        return [name]
    return [Origin("http", str(one[4][0]), name.port) for one in found]


def _families(place: Origin, until: float) -> list[Any] | None:
    """The wanted families of a relay; None if it sends no readable answer in time."""
    connection = HttpConnection(place, most_body=MOST_BODY)
    try:
        connection.send("GET", "/metrics", [], b"", until)
        answer = connection.receive(until)
        families = text_string_to_metric_families(answer.body.decode())
        return [family for family in families if family.name in WANTED] if answer.status == 200 else None
    except (OSError, ValueError):
        return None
    finally:
        connection.close()
