"""The HTTP client: one deadline for an exchange, whatever the other side does."""

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from repositories.http_client.dialling import BrokenExchange
from repositories.http_client.exchange import HttpAnswer, HttpConnection
from repositories.http_client.origin import Origin
from tests.receiver import ANSWERS, HOST, MALFORMED, Receiver, receiving

LONG, SHORT = 30.0, 0.2


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def connection(receiver: Receiver) -> Iterator[HttpConnection]:
    made = HttpConnection(origin(receiver), most_body=1000)
    yield made
    made.close()


def origin(receiver: Receiver, host: str = HOST) -> Origin:
    return Origin("http", host, int(receiver.url.split(":")[2].partition("/")[0]))


def exchange(connection: HttpConnection, seconds: float = LONG, body: bytes = b"{}") -> HttpAnswer:
    until = time.monotonic() + seconds
    connection.send("POST", "/hook", [("X-Own", "1")], body, until)
    return connection.receive(until)


def test_a_connection_is_kept(receiver: Receiver, connection: HttpConnection) -> None:
    receiver.answers.extend(["200", "500", "204"])
    assert [exchange(connection, body=b"x" * size).status for size in (0, 500_000, 1)] == [200, 500, 204]
    assert receiver.connections == 1
    assert [len(one.body) for one in receiver.posted] == [0, 500_000, 1]
    assert receiver.posted[0].headers["x-own"] == "1"
    assert receiver.posted[0].headers["host"].startswith(f"{HOST}:")


def test_a_connection_closed_meanwhile_is_replaced(receiver: Receiver, connection: HttpConnection) -> None:
    receiver.answers.extend(["200", "cut body", "200"])
    assert [exchange(connection).status for _ in range(3)] == [200, 200, 200]
    assert receiver.connections == 2


@pytest.mark.parametrize("lie", [lie for lie in MALFORMED if lie not in ANSWERS])
def test_broken_answers_are_errors(receiver: Receiver, connection: HttpConnection, lie: str) -> None:
    receiver.usual = lie
    with pytest.raises(BrokenExchange):
        exchange(connection)
    receiver.usual = "200"
    assert exchange(connection).status == 200


@pytest.mark.parametrize("lie", ["stall", "drip", "processing"])
def test_the_deadline_is_for_the_whole_exchange(receiver: Receiver, connection: HttpConnection, lie: str) -> None:
    receiver.usual = lie
    with pytest.raises(OSError, match=r"in time|timed out|no HTTP"):
        exchange(connection, SHORT)


def test_a_body_is_read_up_to_the_limit(receiver: Receiver, connection: HttpConnection) -> None:
    receiver.usual = "endless body"
    answer = exchange(connection)
    assert (answer.status, answer.body) == (200, b"x" * 1000)
    receiver.usual = "redirect"
    assert exchange(connection).status == 307
    assert [one.target for one in receiver.posted] == ["/hook", "/hook"]


def test_a_receiver_that_reads_nothing_times_out(receiver: Receiver) -> None:
    with socket.create_server((HOST, 0)) as silent:
        connection = HttpConnection(Origin("http", HOST, silent.getsockname()[1]), most_body=1)
        with pytest.raises(TimeoutError):
            exchange(connection, SHORT, b"x" * 50_000_000)


def test_only_a_permitted_address_is_dialled(receiver: Receiver) -> None:
    asked: list[str] = []

    def permits(address: str) -> bool:
        asked.append(address)
        return address == HOST

    named = HttpConnection(origin(receiver, "localhost"), most_body=1, permits=permits)
    assert exchange(named).status == 204
    named.close()
    assert HOST in asked
    with pytest.raises(BrokenExchange, match="no address"):
        exchange(HttpConnection(origin(receiver, "localhost"), most_body=1, permits=lambda _: False))
    assert receiver.connections == 1


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 64, "a..b"])
def test_unresolvable_names_are_errors(host: str) -> None:
    with pytest.raises(OSError):  # noqa: PT011  of the resolver, whose words differ
        exchange(HttpConnection(Origin("https", host, 443), most_body=1), 5)


def test_name_resolution_has_the_deadline_too(monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: done.wait(60))
    try:
        with pytest.raises(TimeoutError):
            exchange(HttpConnection(Origin("https", "example.invalid", 443), most_body=1), SHORT)
    finally:
        done.set()


def test_hanging_name_resolution_does_not_block_others(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    """However many there are, and however often they are looked up: each name has one thread."""
    done, real, hanging = threading.Event(), socket.getaddrinfo, list[str]()

    def look_up(host: str, *more: Any, **named: Any) -> Any:
        if host.endswith(".invalid"):
            hanging.append(host)
            done.wait(60)
        return real(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    hosts = [f"n{number}.invalid" for number in range(20)] * 3
    try:
        for host in hosts:
            with pytest.raises(TimeoutError):
                exchange(HttpConnection(Origin("https", host, 443), most_body=1), 0.001)
        named = HttpConnection(origin(receiver, "localhost"), most_body=1)
        assert exchange(named).status == 204
        named.close()
        assert sorted(hanging) == sorted(set(hosts))
    finally:
        done.set()


def test_a_receiver_without_tls_has_the_same_deadline() -> None:
    with socket.create_server((HOST, 0)) as silent:
        connection = HttpConnection(Origin("https", HOST, silent.getsockname()[1]), most_body=1)
        with pytest.raises(TimeoutError):
            exchange(connection, SHORT)


def test_tls_is_verified(receiver: Receiver) -> None:
    port = origin(receiver).port
    with pytest.raises(OSError, match=r"SSL|timed out|in time|closed"):
        exchange(HttpConnection(Origin("https", HOST, port), most_body=1), 2)
