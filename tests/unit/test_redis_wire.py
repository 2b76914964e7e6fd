"""How a connection to Redis handles a server that is not Redis, is slow, or is no longer the primary."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import hiredis
import pytest

from repositories.errors import Unavailable
from repositories.hot import SessionStore, open_sessions

TIMEOUT = timedelta(seconds=0.4)
PONG = b"+PONG\r\n"
REFUSALS = [
    "READONLY You can't write against a read only replica.",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "LOADING Redis is loading the dataset in memory",
    # The errors of Redis 6 and Redis 7 for a command within a script.
    "ERR Error running script (call to f_8f5): @user_script:12: @user_script: 12: -READONLY You can't write against",
    "READONLY You can't write against a read only replica. script: 8f5, on @user_script:12.",
]


@contextmanager
def peer(answer: Callable[[int, socket.socket], None]) -> Iterator[SessionStore]:
    """A client of a server that answers each command by `answer`, called with the connection's number (from 1)."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            number = 0
            with suppress(OSError):
                while True:
                    line, _ = listening.accept()
                    number += 1
                    reader = hiredis.Reader()
                    with line, suppress(OSError):
                        while data := line.recv(1000):
                            reader.feed(data)
                            while reader.gets():
                                answer(number, line)

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        store = open_sessions(f"redis://127.0.0.1:{listening.getsockname()[1]}/0", timeout=TIMEOUT, pool=1)
        yield store
        store.close()
        listening.shutdown(socket.SHUT_RDWR)
        serving.join(10)


def test_a_server_of_another_protocol_is_unavailable() -> None:
    with peer(lambda _, line: line.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")) as store:
        for _ in range(2):
            with pytest.raises(Unavailable):
                store.ping()


@pytest.mark.parametrize("refusal", REFUSALS)
def test_the_connection_to_a_server_that_stopped_serving_is_replaced(refusal: str) -> None:
    with peer(lambda n, line: line.sendall(PONG if n > 1 else f"-{refusal}\r\n".encode())) as store:
        store.ping()
    with peer(lambda _, line: line.sendall(f"-{refusal}\r\n".encode())) as store:
        for _ in range(2):
            with pytest.raises(Unavailable, match=refusal[:8]):
                store.ping()


def test_any_other_refusal_keeps_the_connection() -> None:
    with peer(lambda n, line: line.sendall(b"-ERR connection %d\r\n" % n)) as store:
        for _ in range(3):
            with pytest.raises(Unavailable, match="connection 1"):
                store.ping()


def test_an_answer_that_comes_in_pieces_does_not_outlast_the_deadline() -> None:
    sent = list[int]()

    def drip(_number: int, line: socket.socket) -> None:
        for _ in range(1000):
            line.sendall(b"$1000\r\n" if not sent else b"x")
            sent.append(1)
            threading.Event().wait(0.05)

    with peer(drip) as store, pytest.raises(Unavailable):
        store.ping()
    assert len(sent) < 500, "a thousand drops would have been waited for"
