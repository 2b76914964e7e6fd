"""The answer to a scrape: the metrics of all processes of a server, with exemplars in the OpenMetrics format."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from app.clock import Clock
from app.telemetry import series
from app.telemetry.backlogs import Backlogs
from app.telemetry.exemplars import marked
from app.telemetry.ledger_state import Known, LedgerState
from app.telemetry.replicas import ReplicaGauges
from app.telemetry.sink_lags import SinkLags
from app.telemetry.store_states import StoreStates
from repositories.outbox import Outbox
from repositories.relational.event_log_port import EventLog
from repositories.store import Store

PROCESS_FILE = re.compile(r"(?:gauge_live\w*|exemplars)_(\d+)\.(?:db|json)")


class Everything(Collector):
    """Collects the metrics of all processes, and those that `more` read at the time of the scrape."""

    def __init__(self, *more: Collector) -> None:
        self._more = more

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        series.sample_pools()
        directory = series.directory()
        if directory:
            _remove_dead_processes(directory)
        shared = MultiProcessCollector(None, str(directory)) if directory else series.own  # type: ignore[no-untyped-call]  # it has no annotation
        yield from marked(shared, series.exemplars.of_all(directory))
        for collector in self._more:
            yield from collector.collect()


def everything(
    stores: Mapping[str, Store],
    outboxes: Mapping[str, Outbox],
    known: Known,
    clock: Clock,
    log: EventLog,
) -> CollectorRegistry:
    """The registry with all metrics. `known` reads the state of the ledger's anchors, `log` is the event log."""
    more = Backlogs(outboxes, clock), SinkLags(log, clock), LedgerState(known, clock)
    return registry(StoreStates(stores), *more, ReplicaGauges(stores))


def registry(*more: Collector) -> CollectorRegistry:
    made = CollectorRegistry()
    made.register(Everything(*more))
    return made


def rendered(whole: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """The metrics as text and its content type, in the format that `accept` (the header's value) prefers."""
    encode, content_type = choose_encoder(accept)
    return encode(whole), content_type


def serve(host: str, port: int, whole: CollectorRegistry) -> Callable[[], None]:
    """Serve `/metrics` on a separate address. Returns a function that stops the server."""
    server, thread = start_http_server(port, host, whole)

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return end


def _remove_dead_processes(directory: Path) -> None:
    """Remove the gauges and exemplars of workers that no longer run. Their counters stay."""
    for file in directory.iterdir():
        found = PROCESS_FILE.fullmatch(file.name)
        if found and not _lives(int(found[1])):
            mark_process_dead(found[1], str(directory))  # type: ignore[no-untyped-call]  # it has no annotation
            file.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
