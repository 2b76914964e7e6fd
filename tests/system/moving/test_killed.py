"""A real server moves to PostgreSQL and MongoDB and back under traffic, and the command is killed again and again.

Its short form, in one process and between files, is `test_moving.py`.
"""

import http.client
import itertools
import logging
import signal
import subprocess
import threading
from collections import Counter
from pathlib import Path
from uuid import uuid4

import pytest

from tests.contracts.relational_store import new_database
from tests.engines import Fleet, Reachable
from tests.engines.kernel import wait_until
from tests.system.live import PATIENCE, QUARTET, Live, environment, migrated, run

log = logging.getLogger(__name__)
RICH, PEOPLE = 1_000_000, 4
# After so many lines of what the command says: while it copies, compares, and right behind the switch.
KILLED_AFTER = (1, 3, 6, -1)
SWITCHED = "changes carried over while copying"

pytestmark = pytest.mark.proof


class Payer:
    """Pays and publishes through a server; whatever is not answered well is sent again with its key."""

    def __init__(self, live: Live) -> None:
        self.client = live.person()
        self.handle = self.client.handle
        money = {"amount": {"amount": RICH, "currency": "EUR"}}
        self.client.ask("POST", "/wallet/deposits", money, Idempotency_Key=uuid4().hex)
        self.paid: Counter[str] = Counter()
        self.posts: list[str] = []
        self.refused: Counter[int] = Counter()
        self.slowest = 0.0

    def work(self, others: list["Payer"], stop: threading.Event) -> None:
        for number, other in zip(itertools.count(1), itertools.cycle(others)):
            if stop.is_set():
                return
            amount = number % 7 + 1
            money = {"amount": amount, "currency": "EUR"}
            self._sent("/wallet/transfers", {"to": other.handle, "amount": money})
            self.paid[other.handle] += amount
            self.posts.append(f"{self.handle} {number}")
            self._sent("/posts", {"title": self.posts[-1], "body": "Some words."})

    def _sent(self, path: str, body: object) -> None:
        key, pause = uuid4().hex, threading.Event()
        while True:
            try:
                status = self.client.send("POST", path, body, Idempotency_Key=key).status
            except (OSError, http.client.HTTPException):
                status = 0
            if 200 <= status < 300:
                return
            assert status in {0, 409, 429, 503}, status
            self.refused[status] += 1
            pause.wait(0.05)


def moved(folder: Path, role: str, url: str) -> str:
    """Killed at each of these points, and then not."""
    for lines in KILLED_AFTER:
        said = moving(folder, role, url, lines)
        log.info("%s killed after %d lines", role, len(said))
    return "".join(moving(folder, role, url, 0))


def moving(folder: Path, role: str, url: str, lines: int) -> list[str]:
    """What it said. Killed after so many lines; -1 is when it has switched, 0 is not at all."""
    command = [QUARTET, "move", role, "--to", url]
    with subprocess.Popen(
        command, cwd=folder, env=environment(folder, {}), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        said: list[str] = []
        assert process.stdout
        for line in process.stdout:
            said.append(line)
            if len(said) == lines or (lines < 0 and SWITCHED in line):
                process.send_signal(signal.SIGKILL)
                break
        process.wait(10 * PATIENCE)
    assert lines or process.returncode == 0, said
    return said


@pytest.mark.parametrize("role", ["documents", "relational"])
def test_nothing_is_lost_and_nothing_is_doubled(role: str, engines: Fleet[Reachable], tmp_path: Path) -> None:
    migrated(tmp_path)
    home = f"sqlite:///{tmp_path}/var/quartet.db"
    database = new_database(engines.postgres())
    documents = engines.mongo().url.replace("/quartet?", f"/moved_{uuid4().hex[:12]}?")
    live = Live(tmp_path, WORKERS="2", RELAY="inline")
    try:
        assert wait_until(live._serves, 4 * PATIENCE), live.output
        payers = [Payer(live) for _ in range(PEOPLE)]
        stop = threading.Event()
        threads = [
            threading.Thread(target=one.work, args=([other for other in payers if other is not one], stop))
            for one in payers
        ]
        for thread in threads:
            thread.start()
        try:
            for url in (database, *([documents] if role == "documents" else []), home):
                said = moved(tmp_path, role, url)
                log.info("%s", said.splitlines()[-3:])
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        check(live, payers)
        assert run(tmp_path, "doctor", "ledger").returncode == 0
    finally:
        live.close()


def check(live: Live, payers: list[Payer]) -> None:
    for one in payers:
        gained = sum(other.paid[one.handle] for other in payers)
        wallet = one.client.ask("GET", "/wallet")["items"][0]
        assert wallet["available"]["amount"] == RICH + gained - sum(one.paid.values())
        assert sorted(one.client.titles(f"/accounts/{one.handle}/posts")) == sorted(one.posts)
