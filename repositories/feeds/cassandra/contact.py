"""Finds the nodes of a URL that answer. The driver would try them one after another, each for a handshake's time."""

import contextlib
import socket
from concurrent.futures import ThreadPoolExecutor, as_completed

from repositories.feeds.cassandra.target import CassandraTarget

Node = tuple[str, int]
# OPTIONS of protocol 4, which every version answers before authentication.
_ASK = bytes([4, 0, 0, 0, 5, 0, 0, 0, 0])
# How long other nodes are waited for after the first answer.
_GRACE_SECONDS = 0.1


def answering(where: CassandraTarget, seconds: float) -> list[Node]:
    """The nodes that answer at about the same time as the first. All nodes if none answers within `seconds`."""
    if len(where.hosts) == 1:
        return list(where.hosts)
    asking = ThreadPoolExecutor(len(where.hosts), thread_name_prefix="feeds-contact")
    calls = {asking.submit(_answers, where, node, seconds): node for node in where.hosts}
    asking.shutdown(wait=False)
    found: list[Node] = []
    for wait in (seconds, _GRACE_SECONDS):
        with contextlib.suppress(TimeoutError):
            for call in as_completed(list(calls), timeout=wait):
                node = calls.pop(call)
                if call.result():
                    found.append(node)
                    if len(found) == 1:
                        break
    return found or list(where.hosts)


def _answers(where: CassandraTarget, node: Node, seconds: float) -> bool:
    try:
        with contextlib.ExitStack() as open_:
            line = open_.enter_context(socket.create_connection(node, timeout=seconds))
            if where.tls:
                line = open_.enter_context(where.tls.context().wrap_socket(line, server_hostname=node[0]))
            line.sendall(_ASK)
            return bool(line.recv(1))
    except OSError:
        return False
