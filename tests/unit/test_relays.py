"""The console's figures of relays that run in separate processes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry, Counter, start_http_server

from app.telemetry.history import EVERY, History
from app.telemetry.relays import Relays
from tests.engines.kernel import free_port


class Relay:
    """A relay with two metrics, one of which the console does not show."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.deliveries = Counter("quartet_deliveries", "", registry=self.registry)
        self.calls = Counter("quartet_store_errors", "", ["store"], registry=self.registry)
        self.calls.labels("feeds").inc()
        self.port = free_port()

    @contextmanager
    def serving(self) -> Iterator[None]:
        server, thread = start_http_server(self.port, "127.0.0.1", self.registry)
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def readings(relays: Relays) -> Iterator[Any]:
    """The console's readings, each one interval after the last."""
    time = [1_000_000.0]
    history = History(lambda: relays.beside(list), None, lambda: time[0])
    while True:
        yield history.look()
        time[0] += EVERY


def test_the_counts_of_relays_are_summed() -> None:
    one, other = Relay(), Relay()
    with one.serving(), other.serving():
        looks = readings(Relays([f"127.0.0.1:{one.port}", f"localhost:{other.port}"]))
        next(looks)
        one.deliveries.inc(8)
        other.deliveries.inc(4)
        found = next(looks)
    assert found.rates("deliveries") == {(): 12 / EVERY}
    assert found.now("call_errors") == {}
    assert found.now("relays")[f"127.0.0.1:{one.port}",] == 1


def test_an_unreachable_relay_is_named_and_keeps_its_counts() -> None:
    one = Relay()
    one.deliveries.inc(1000)
    looks = readings(Relays([f"127.0.0.1:{one.port}"]))
    assert next(looks).now("relays") == {(f"127.0.0.1:{one.port}",): 0}
    with one.serving():
        assert next(looks).now("relays") == {(f"127.0.0.1:{one.port}",): 1}
    away = next(looks)
    assert away.now("relays") == {(f"127.0.0.1:{one.port}",): 0}
    assert away.now("deliveries") == {(): 1000}
    with one.serving():
        one.deliveries.inc(40)
        assert next(looks).trend("deliveries")[-1] == 40 / EVERY
