"""Measures moves of many posts between engines while a server handles reads and writes: how long writers wait, and the
slowest answers.

`python -m bench.moving [--posts 100000] [--moves documents:postgres,documents:mongo,feeds:cassandra]`; a place is
`file`, or an engine that the bench starts. See README.md.
"""

import http.client
import os
import re
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import Any

import click

from app.worker.threads import beside
from tests.contracts.relational_store import new_database
from tests.engines import Engines
from tests.engines.kernel import wait_until
from tests.system.live import QUARTET, Client, Live, environment, migrated, run

MOVES = "documents:postgres,documents:mongo,feeds:cassandra"
WRITERS, READERS = 2, 1
# Everything shares two processors, so timeouts are long: a slow store must not count as unavailable.
PATIENT = {f"{role}_TIMEOUT": "20" for role in ("RELATIONAL", "DOCUMENTS", "FEEDS", "SESSIONS", "CACHE")}
ACCOUNTS, PATIENCE = 500, 60.0


class Watched:
    """Records the duration of each answer in seconds, and counts the statuses; 0 is a failed connection."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self.clear()

    def clear(self) -> None:
        with self._guard:
            self.took: list[float] = []
            self.statuses: Counter[int] = Counter()

    def timed(self, client: Client, method: str, path: str, body: Any = None) -> None:
        began = time.perf_counter()
        try:
            status = client.send(method, path, body).status
        except (OSError, http.client.HTTPException):
            status = 0
        with self._guard:
            self.took.append(time.perf_counter() - began)
            self.statuses[status] += 1

    def __str__(self) -> str:
        if len(self.took) < 2:
            return "none"
        refused = sum(count for status, count in self.statuses.items() if not 200 <= status < 300)
        p99 = quantiles(self.took, n=100)[98]
        return f"{len(self.took):,}, refused {refused or 'none'}, p99 {p99:.3f} s, slowest {max(self.took):.3f} s"


def writing(client: Client, watched: Watched, stop: threading.Event) -> None:
    post = client.publish("The first")
    number = 0
    while not stop.is_set():
        number += 1
        watched.timed(client, "POST", "/posts", {"title": f"Post {number}", "body": "Some words."})
        watched.timed(client, "POST", f"/posts/{post}/comments", {"body": "Well said."})
        watched.timed(client, "PUT" if number % 2 else "DELETE", f"/posts/{post}/like")


def reading(client: Client, watched: Watched, stop: threading.Event) -> None:
    while not stop.is_set():
        for path in ("/feed", "/posts?limit=20", f"/accounts/{client.handle}"):
            watched.timed(client, "GET", path)


def place(engines: Engines, folder: Path, kind: str, number: int) -> str:
    if kind == "file":
        return f"sqlite:///{folder}/var/place{number}.db"
    if kind == "postgres":
        return new_database(engines.postgres())
    if kind == "mongo":
        return engines.mongo().url.replace("/quartet?", f"/place{number}?")
    return engines.cassandra().url.replace("/quartet", f"/place{number}")


def moved(folder: Path, role: str, url: str) -> tuple[float, str]:
    """Run a move. Returns its duration in seconds, and its output lines on changes carried over and the pause."""
    began = time.perf_counter()
    command, env = [QUARTET, "move", role, "--to", url], environment(folder, PATIENT)
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(done.stdout + done.stderr)
    found = re.search(r"([\d,]+ changes carried over.*)\nswitched; (.*)", done.stdout)
    assert found, done.stdout
    return time.perf_counter() - began, f"{found[1]}; {found[2]}"


@click.command(help=__doc__)
@click.option("--posts", default=100_000, show_default=True)
@click.option("--moves", default=MOVES, show_default=True)
def main(posts: int, moves: str) -> None:
    engines = Engines()
    try:
        with tempfile.TemporaryDirectory() as directory:
            measured(engines, Path(directory), posts, [tuple(one.split(":")) for one in moves.split(",")])
    finally:
        engines.close()


def measured(engines: Engines, folder: Path, posts: int, moves: Sequence[tuple[str, ...]]) -> None:
    migrated(folder)
    counts = {"accounts": ACCOUNTS, "posts": posts, "comments": 0, "likes": 0, "products": 0, "orders": 0}
    done = run(folder, "seed", *(f"--{name}={count}" for name, count in counts.items()), **PATIENT)
    assert done.returncode == 0, done.stderr
    places = [place(engines, folder, kind, number) for number, (_, kind) in enumerate(moves)]
    with closing(Live(folder, WORKERS="2", RELAY="inline", **PATIENT)) as live:
        assert wait_until(live._serves, 240), live.output  # noqa: SLF001  with a longer timeout than in tests
        writes, reads = Watched(), Watched()
        works = [partial(writing, live.person(), writes) for _ in range(WRITERS)]
        works += [partial(reading, live.person(), reads) for _ in range(READERS)]
        with beside("traffic", works, threading.Event(), patience=PATIENCE):
            for (role, kind), url in zip(moves, places, strict=True):
                for watched in (writes, reads):
                    watched.clear()
                seconds, said = moved(folder, role, url)
                click.echo(f"{role} to {kind}: {seconds:.1f} s; {said}\n  writes: {writes}\n  reads: {reads}")
    click.echo(f"{posts:,} posts; load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


if __name__ == "__main__":
    main()
