"""Measures a server at three times its peak load: the answers in time with and without its queue limit; see README.md.

The peak is measured with 32 connections in a closed loop. Then requests are sent at three times that rate, regardless
of the answers (an open loop), and each is timed from when it was due. The server has one processor and the load
generator another, which it keeps fully busy in both cases, so that the engines get the same share of it. Limited and
unlimited servers alternate.
"""

import json
import os
import re
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median
from typing import Any

import click
from msgspec import Struct
from msgspec.structs import replace

from bench.reads.server import Server, served
from config import Settings
from config.logs import configure
from tests.apps import embedded, running
from tests.engines import Engines
from tests.system.real import real_urls

Stores = Callable[[Path], dict[str, Any]]
CLOSED, OPEN, TIMES = 32, 1000, 3
WAYS = {"limit": "0.2", "none": "0"}
# Seconds. A client that waits longer has given up.
IN_TIME = 1.0
LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
POSTS = 20


class Load(Struct, frozen=True):
    """`took` are the durations of the 2xx answers in seconds, sorted; `refused` counts 503s, `failed` all others.

    `busy` is the CPU time of all the server's processes in seconds.
    """

    seconds: float
    sent: int
    took: list[float]
    refused: int
    failed: int
    busy: float = 0.0

    @property
    def goodput(self) -> float:
        """Answers per second that came in time."""
        return sum(one <= IN_TIME for one in self.took) / self.seconds

    @property
    def by_processor(self) -> float:
        """Answers in time per second of the server's CPU time."""
        return self.goodput * self.seconds / self.busy

    def quantile(self, share: float) -> float:
        return self.took[min(int(len(self.took) * share), len(self.took) - 1)] if self.took else float("nan")


class Line:
    """A connection, with the time at which its current request was due."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setblocking(False)
        self.due = 0.0
        self.data = b""

    def send(self, request: bytes, due: float) -> None:
        self.due, self.data = due, b""
        self.socket.send(request)

    def receive(self) -> int | None:
        """The status, once the answer is complete; None until then; 0 if the connection was closed."""
        part = self.socket.recv(1 << 18)
        self.data += part
        head, found, body = self.data.partition(b"\r\n\r\n")
        if not part:
            return 0
        length = LENGTH.search(head) if found else None
        if not found or (length and len(body) < int(length[1])):
            return None
        return int(head[9:12])


class Drive:
    """Sends `rate` requests per second (open loop). With 0, each connection sends again once it is answered."""

    def __init__(self, port: int, requests: Sequence[bytes], rate: float, connections: int) -> None:
        self._requests = requests
        self._rate = rate
        self._lines = {line.socket.fileno(): line for line in (Line(port) for _ in range(connections))}
        self._idle = list(self._lines.values())
        self._late = deque[float]()
        self._sent = self._refused = self._failed = 0
        self._took: list[float] = []

    def run(self, seconds: float) -> Load:
        poll = select.epoll()
        for number in self._lines:
            poll.register(number, select.EPOLLIN)
        began = now = time.perf_counter()
        while now < began + seconds or (len(self._idle) < len(self._lines) and now < began + seconds + 2 * IN_TIME):
            if now < began + seconds:
                self._send(began, now)
            for number, _ in poll.poll(0):
                self._receive(self._lines[number])
            now = time.perf_counter()
        self._failed += len(self._late) + len(self._lines) - len(self._idle)
        for line in self._lines.values():
            line.socket.close()
        return Load(seconds, self._sent + len(self._late), sorted(self._took), self._refused, self._failed)

    def _send(self, began: float, now: float) -> None:
        """Send the requests that are due while there are idle connections. The others stay queued as late."""
        while self._rate and (due := began + (self._sent + len(self._late)) / self._rate) <= now:
            self._late.append(due)
        while self._idle and (self._late or not self._rate):
            request = self._requests[self._sent % len(self._requests)]
            self._idle.pop().send(request, self._late.popleft() if self._rate else now)
            self._sent += 1

    def _receive(self, line: Line) -> None:
        number, status = line.socket.fileno(), line.receive()
        if status is None:
            return
        if 200 <= status < 300:
            self._took.append(time.perf_counter() - line.due)
        elif status == 503:
            self._refused += 1
        else:
            self._failed += 1
        if status:
            self._idle.append(line)
        else:
            line.socket.close()
            del self._lines[number]


@click.command(help=__doc__)
@click.option("--rounds", default=3, show_default=True)
@click.option("--seconds", default=10.0, show_default=True)
@click.option("--turns", default=1, show_default=True, help="Of peak and overload, on each server.")
@click.option("--engines", is_flag=True, help="The four engines in place of the embedded stores.")
def main(*, rounds: int, seconds: float, turns: int, engines: bool) -> None:
    configure("warning", "console")
    with ExitStack() as stack:
        stores: Stores = embedded
        if engines:
            started = stack.enter_context(closing(Engines()))

            def stores(_folder: Path) -> dict[str, Any]:
                return real_urls(started, "overload")

        compare(stores, rounds, seconds, turns)


def compare(stores: Stores, rounds: int, seconds: float, turns: int) -> None:
    click.echo(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(rounds):
        for way in list(WAYS)[:: 1 if number % 2 else -1]:
            for peak, over in measured(stores, WAYS[way], seconds, turns):
                found[way].append(over.goodput / peak.goodput)
                click.echo(
                    f"round {number + 1}, {way:>5}: "
                    f"peak {peak.goodput:.0f}/s, p99 {peak.quantile(0.99) * 1000:.0f} ms; "
                    f"at {over.sent / seconds:.0f}/s: goodput {over.goodput:.0f}/s = {found[way][-1]:.2f} of the peak, "
                    f"a second of processor {over.by_processor / peak.by_processor:.2f} of it, "
                    f"p50 {over.quantile(0.5) * 1000:.0f} ms, "
                    f"p99 {over.quantile(0.99) * 1000:.0f} ms of what is served, "
                    f"{over.refused / over.sent:.0%} refused, {over.failed} failed"
                )
    for way, ratios in found.items():
        click.echo(f"{way}: {median(ratios):.2f} of the peak ({min(ratios):.2f} to {max(ratios):.2f})")


def measured(stores: Stores, queue_seconds: str, seconds: float, turns: int) -> Iterator[tuple[Load, Load]]:
    """Yield, for a new server, the load at its peak and at three times that, `turns` times."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        urls = stores(folder)
        with running(Settings(**urls)) as system:
            readers = [system.person() for _ in range(8)]
            posts = [reader.publish() for reader in readers for _ in range(POSTS)]
            for reader in readers[1:]:
                reader.put(f"/accounts/{readers[0].handle}/follow")
            system.relay.drain()
            asked = [
                (method, path, reader.token)
                for number in range(10)
                for reader in readers
                for method, path in (
                    ("GET", "/feed"),
                    ("GET", "/notifications"),
                    ("GET", "/accounts/me"),
                    ("PUT", f"/posts/{posts[number]}/like"),
                    ("GET", f"/posts/{posts[number]}/comments"),
                )
            ]
        (folder / "requests.json").write_text(json.dumps([request(*one) for one in asked]))
        variables = {f"QUARTET_{name.upper()}": str(value) for name, value in urls.items()}
        variables |= {"QUARTET_WORKERS": "1", "QUARTET_QUEUE_SECONDS": queue_seconds}
        os.sched_setaffinity(0, {0})
        try:
            with served(variables, folder, "app.wsgi:app", "/health/live") as server:
                loaded(folder, server, 2, 0, CLOSED)
                for _ in range(turns):
                    peak = loaded(folder, server, seconds, 0, CLOSED)
                    yield peak, loaded(folder, server, seconds, TIMES * peak.goodput, OPEN)
        finally:
            os.sched_setaffinity(0, range(os.cpu_count() or 1))


def request(method: str, path: str, token: str | None) -> str:
    return f"{method} /api/v1{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"


def loaded(folder: Path, server: Server, *plan: float) -> Load:
    """Generate load from a separate process, on the other processor."""
    command = [sys.executable, "-m", "bench.overload", "drive", str(folder), str(server.port), *map(str, plan)]
    before = server.busy()
    said = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return replace(Load(**json.loads(said.stdout)), busy=server.busy() - before)


def drive_as_told(folder: str, port: str, seconds: str, rate: str, connections: str) -> None:
    os.sched_setaffinity(0, {(os.cpu_count() or 1) - 1})
    requests = [one.encode() for one in json.loads((Path(folder) / "requests.json").read_text())]
    load = Drive(int(port), requests, float(rate), int(connections)).run(float(seconds))
    sys.stdout.write(json.dumps({name: getattr(load, name) for name in load.__struct_fields__}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["drive"]:
        drive_as_told(*sys.argv[2:])
    else:
        main()
