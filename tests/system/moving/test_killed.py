"""All roles of a real server move from a file to four engines and back, under traffic: by way of PostgreSQL, and
directly, so that every pair of a role's engines occurs. The command is killed at the steps of every move. The server is
killed once, so that it starts again with URLs that are long outdated.

Its short form, in one process and between files, is `test_moving.py`.
"""

import logging
import os
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from redis import Redis

from tests.contracts.relational_store import new_database
from tests.engines import Fleet, Reachable
from tests.engines.kernel import wait_until
from tests.system.live import PATIENCE, Live, migrated, run
from tests.system.moving.killed_moves import PATIENT, KilledMoves
from tests.system.moving.user_traffic import UserTraffic, check
from tests.system.proofs.relays import threads

log = logging.getLogger(__name__)
PEOPLE = 4
# The number of steps at which each move is killed.
KILLS = int(os.environ.get("QUARTET_KILLS", "3"))
# A database number in the Redis server shared by all tests, beyond those that the processes of a run use.
DATABASE = 61

pytestmark = [pytest.mark.proof, pytest.mark.timeout(3600)]


@contextmanager
def traffic(people: Sequence[UserTraffic]) -> Iterator[None]:
    stop = threading.Event()
    with threads([partial(one.work, [other for other in people if other is not one], stop) for one in people], stop):
        yield


def engines_of(engines: Fleet[Reachable]) -> dict[str, str]:
    """New places in the engines, by role, that no other test uses."""
    name = f"moved_{uuid4().hex[:12]}"
    urls = {
        "documents": engines.mongo().url.replace("/quartet?", f"/{name}?"),
        "feeds": engines.cassandra().url.replace("/quartet", f"/{name}"),
    }
    for role, server in {"sessions": engines.sessions(), "cache": engines.cache()}.items():
        urls[role] = f"{server.url.rpartition('/')[0]}/{DATABASE}"
        with Redis.from_url(urls[role]) as redis:
            redis.flushdb()
    return urls


@pytest.mark.parametrize("by_postgres", [True, False], ids=["by PostgreSQL", "at once"])
def test_killed_moves_lose_and_duplicate_nothing(
    engines: Fleet[Reachable], tmp_path: Path, *, by_postgres: bool
) -> None:
    migrated(tmp_path)
    file = f"sqlite:///{tmp_path}/var/quartet.db"
    database, apart = new_database(engines.postgres()), engines_of(engines)
    roles, killing = ("relational", *apart), KilledMoves(tmp_path, KILLS)
    there = [*((role, database) for role in (roles if by_postgres else roles[:1])), *apart.items()]
    back = [*((role, database) for role in apart if by_postgres), *((role, file) for role in roles)]
    with ExitStack() as running:

        def started(**settings: str) -> Live:
            live = running.enter_context(closing(Live(tmp_path, WORKERS="2", RELAY="inline", **PATIENT, **settings)))
            assert wait_until(live._serves, 4 * PATIENCE), live.output
            return live

        live = started()
        people = [UserTraffic(live) for _ in range(PEOPLE)]
        with traffic(people):
            for role, url in there:
                log.info("%s", killing.moved(role, url))
            live.kill()
            started(PORT=str(live.port))
            for role, url in back:
                log.info("%s", killing.moved(role, url))
        log.info("refused: %s", sum((one.refused for one in people), Counter()))
        assert wait_until(lambda: is_quiet(tmp_path), 4 * PATIENCE)
        check(people)
        for what in ("drift", "ledger"):
            done = run(tmp_path, "doctor", what, **PATIENT)
            assert done.returncode == 0, done.stdout


def is_quiet(folder: Path) -> bool:
    """Whether no event waits or is dead-lettered."""
    lines = run(folder, "doctor", "outbox", **PATIENT).stdout.splitlines()
    return len(lines) == 2 and all(" 0 unsent, 0 dead-lettered" in line for line in lines)
