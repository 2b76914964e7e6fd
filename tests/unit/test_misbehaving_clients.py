"""What is recorded about the server's connections, with real sockets of this process."""

import socket

from app.server.misbehaving_clients import Floods


def test_only_open_connections_are_remembered() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        floods = Floods(port)
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", port)), listening.accept()[0]:
                floods.end(10**6)
                assert floods.known == 1


def test_a_connection_that_sends_too_much_is_ended_and_another_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        floods = Floods(port)
        with (
            socket.create_connection(("127.0.0.1", port)) as much,
            listening.accept()[0] as brings_much,
            socket.create_connection(("127.0.0.1", port)) as little,
            listening.accept()[0] as brings_little,
        ):
            floods.end(1000)
            much.sendall(b"x" * 2000)
            little.sendall(b"x")
            assert len(brings_much.recv(2000, socket.MSG_WAITALL)) == 2000
            assert brings_little.recv(1) == b"x"
            floods.end(1000)
            assert brings_much.recv(1) == b""
            little.sendall(b"y")
            assert brings_little.recv(1) == b"y"
