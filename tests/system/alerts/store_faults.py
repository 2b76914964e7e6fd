"""Faults of stores that a proxy cannot simulate. Each takes the engines and the URL of the server behind the store's
proxy; it ends with its block.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import psycopg
from cassandra.cluster import Cluster
from pymongo import MongoClient
from redis import Redis

from tests.engines import Engines, Server
from tests.engines.kernel import free_port, wait_until
from tests.system.proofs.relays import threads
from tests.system.real import KEYSPACE

Fault = Callable[[Engines, str], AbstractContextManager[None]]
END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'quartet'"
# Fewer than the 200 that a server of the tests allows.
MOST_CONNECTIONS = 180
COPIES = "ALTER KEYSPACE %s WITH replication = {'class': 'SimpleStrategy', 'replication_factor': %d}"


@contextmanager
def no_login(_engines: Engines, url: str) -> Iterator[None]:
    """The role cannot log in, as after a change of its password."""
    with psycopg.connect(url, autocommit=True) as server:
        server.execute("ALTER ROLE quartet NOLOGIN")
        server.execute(END_SESSIONS)
        try:
            yield
        finally:
            server.execute("ALTER ROLE quartet LOGIN")


def locked(table: str) -> Fault:
    @contextmanager
    def lock(_engines: Engines, url: str) -> Iterator[None]:
        with psycopg.connect(url) as holder:
            holder.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            try:
                yield
            finally:
                holder.rollback()

    return lock


@contextmanager
def connections_taken(_engines: Engines, url: str) -> Iterator[None]:
    """Another application holds all connections of the server."""
    over, held = threading.Event(), list[psycopg.Connection[Any]]()

    def take() -> None:
        while not over.wait(0.002):
            server.execute(END_SESSIONS)
            try:
                held.append(psycopg.connect(url, autocommit=True, application_name="another"))
            except psycopg.OperationalError:
                continue

    try:
        with psycopg.connect(url, autocommit=True) as server, threads([take], over):
            assert wait_until(lambda: len(held) > MOST_CONNECTIONS, 60)
            yield
    finally:
        for one in held:
            one.close()


@contextmanager
def files_locked(_engines: Engines, url: str) -> Iterator[None]:
    """The files are locked as for a backup: reads are answered, writes wait."""
    parts = urlsplit(url)
    with MongoClient[dict[str, Any]](parts.hostname, parts.port, directConnection=True) as member:
        member.admin.command("fsync", 1, lock=True)
        try:
            yield
        finally:
            member.admin.command("fsyncUnlock")


def frozen(server: Callable[[Engines], Server]) -> Fault:
    @contextmanager
    def pause(engines: Engines, _url: str) -> Iterator[None]:
        server(engines).pause()
        try:
            yield
        finally:
            server(engines).resume()

    return pause


@contextmanager
def full(_engines: Engines, url: str) -> Iterator[None]:
    with Redis.from_url(url) as server:
        before = server.config_get("maxmemory*")
        server.config_set("maxmemory-policy", "noeviction")
        server.config_set("maxmemory", "1")
        try:
            yield
        finally:
            for name in ("maxmemory", "maxmemory-policy"):
                server.config_set(name, before[name])


@contextmanager
def replica(_engines: Engines, url: str) -> Iterator[None]:
    """The server is a replica of a master that is gone."""
    with Redis.from_url(url) as server:
        server.execute_command("REPLICAOF", "127.0.0.1", str(free_port()))
        try:
            yield
        finally:
            server.execute_command("REPLICAOF", "NO", "ONE")


@contextmanager
def too_few_nodes(_engines: Engines, url: str) -> Iterator[None]:
    """There are too few nodes for three copies of each row."""
    parts = urlsplit(url)
    with Cluster([parts.hostname], port=parts.port or 0) as cluster, cluster.connect() as session:
        session.execute(COPIES % (KEYSPACE, 3))
        try:
            yield
        finally:
            session.execute(COPIES % (KEYSPACE, 1))
