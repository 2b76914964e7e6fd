"""Moves to places that cannot store the data: the error names the place, and the old one stays the truth."""

from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from redis import Redis

from tests.contracts.relational_store import new_database
from tests.engines import Engines, Fleet, Reachable
from tests.system.moving.role_traffic import role_traffic
from tests.system.moving.test_pairs import first_place


@pytest.mark.proof
def test_a_place_without_rights_or_space_is_named_in_the_error(
    engines: Fleet[Reachable], own_engines: Engines, tmp_path: Path
) -> None:
    one = role_traffic("documents", "file", tmp_path, lambda: engines)
    with first_place(one) as (url, stores):
        written = one.write(stores)
        done = one.moved(url, "--to", without_rights(new_database(engines.postgres())))
        assert done.exit_code == 1
        assert "not moved: --to: " in done.output
        assert "permission denied" in done.output
        assert written(stores)
        assert one.write(stores)(stores)
    one = role_traffic("sessions", "file", tmp_path, lambda: engines)
    full = own_engines.sessions().url
    with first_place(one) as (url, stores), Redis.from_url(full) as redis:
        for _ in range(50):
            written = one.write(stores)
        redis.config_set("maxmemory", 1)
        done = one.moved(url, "--to", full)
        assert done.exit_code == 1
        assert "--to: sessions is unavailable: OOM" in done.output
        redis.config_set("maxmemory", 0)
        assert written(stores)
        assert one.write(stores)(stores)
        assert one.moved(url, "--to", full).exit_code == 0
        with one.begun(url) as anybody:
            assert written(anybody)


def without_rights(url: str) -> str:
    """The URL with a role that may connect to the database, but not create anything."""
    name = f"guest_{uuid4().hex[:8]}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'guest'")
    address = urlsplit(url)
    return address._replace(netloc=f"{name}:guest@{address.netloc.rpartition('@')[2]}").geturl()
