"""What a connection to Redis makes of a peer that is none."""

import socket
import threading
from datetime import timedelta

import pytest

from repositories.errors import Unavailable
from repositories.hot import open_cache

TIMEOUT = timedelta(seconds=0.4)


def test_a_server_that_speaks_something_else_is_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            # Each of the two connections that a harmless command is tried on.
            for _ in range(2):
                line, _ = listening.accept()
                with line:
                    line.recv(1000)
                    line.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

        greeter = threading.Thread(target=greet, daemon=True)
        greeter.start()
        store = open_cache(f"redis://127.0.0.1:{listening.getsockname()[1]}/0", timeout=TIMEOUT, pool=1)
        for _ in range(2):
            with pytest.raises(Unavailable):
                store.ping()
        greeter.join(5)
        store.close()
