"""The series of relays that are processes of their own, for the console: read from where each of them serves its own.

A name may stand for several relays, as that of a headless Service of Kubernetes does: each of its addresses is asked.
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

# A look at a panel waits so long for all of them together.
SECONDS = 1.0
MOST_BODY = 4 * 1024 * 1024
# Of their series; calls to stores and pools are those of the server whose console it is.
WANTED = {
    "quartet_deliveries",
    "quartet_events",
    "quartet_fanout_lag_seconds",
    "quartet_fanouts_running",
    "quartet_sink_events",
}
# As Prometheus has it of its targets.
UP = "up"


class Relays:
    """`addresses` are `host:port`."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._names = [_origin(one) for one in addresses]
        # Of one that does not answer what it said last, lest its counters seem to fall and to leap.
        self._last: dict[Origin, list[Any]] = {}

    def beside(self, collect: Callable[[], Iterable[Any]]) -> Iterator[Any]:
        """The server's own families, and theirs."""
        yield from collect()
        yield from self.collect()

    def collect(self) -> Iterator[Any]:
        """What each has, and whether it answers. One that has gone for good is kept with what it said last."""
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
    """Each address of the name; the name itself where it has none."""
    try:
        found = addresses_of(name, until)
    except OSError:
        return [name]
    return [Origin("http", str(one[4][0]), name.port) for one in found]


def _families(place: Origin, until: float) -> list[Any] | None:
    """None where nothing, or nothing that can be read, comes in time."""
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
