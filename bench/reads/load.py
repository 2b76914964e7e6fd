"""Load generators: as many requests as the server takes, or a steady rate, with the duration of each answer."""

import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec import Struct

CONNECTIONS = 32
# The most requests per second that a paced client with one connection can send.
STEADY_MOST = 1_000
STEADY_CLIENTS = 2
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


class Load(Struct, frozen=True):
    """The number of answers in `seconds`, and the percentiles of their durations in milliseconds."""

    answers: int
    seconds: float
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        return self.answers / self.seconds


def full(url: str, seconds: float, headers: Mapping[str, str] | None = None) -> Load:
    """Send as many requests as the server takes, over 32 connections. Uses wrk if installed: it needs little CPU."""
    wrk = shutil.which("wrk")
    if wrk is None:
        return _merged([_client(url, seconds, 0.0, CONNECTIONS // 4, headers) for _ in range(4)])
    command = [wrk, "-t2", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "--timeout", "30s", "--latency"]
    command += [f"-H{name}: {value}" for name, value in (headers or {}).items()]
    said = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in said, said
    assert "Socket errors" not in said, said
    answers, took = re.findall(r"(\d+) requests in ([\d.]+)s", said)[0]
    shares = {share: float(n) * UNITS[unit] for share, n, unit in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s)", said)}
    return Load(int(answers), float(took), shares["50"], shares["99"])


def steady(url: str, seconds: float, rate: float) -> Load:
    """Send evenly paced requests at `rate` per second, or at the highest rate that the clients can send."""
    each = min(rate / STEADY_CLIENTS, STEADY_MOST)
    return _merged([_client(url, seconds, 1 / each, 1) for _ in range(STEADY_CLIENTS)])


def _client(
    url: str, seconds: float, pause: float, connections: int, headers: Mapping[str, str] | None = None
) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "bench.reads.load", url, str(seconds), str(pause), str(connections)]
    command.append(json.dumps(dict(headers or {})))
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _merged(clients: "list[subprocess.Popen[str]]") -> Load:
    said = [json.loads(client.communicate()[0]) for client in clients]
    took = sorted(one for some, _ in said for one in some)
    return Load(len(took), max(s for _, s in said), took[len(took) // 2], took[len(took) * 99 // 100])


def _ask(
    url: str, seconds: float, pause: float, connections: int, headers: Mapping[str, str]
) -> tuple[list[float], float]:
    """Runs in a client process. Returns the milliseconds of each answer, and the seconds in total.

    Sends one request on every connection, then receives all answers.
    """
    parts = urlsplit(url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n{fields}\r\n".encode()
    lines = [socket.create_connection((parts.hostname, parts.port)) for _ in range(connections)]
    took: list[float] = []
    began = turn = time.perf_counter()
    while turn - began < seconds:
        at = []
        for line in lines:
            at.append(time.perf_counter())
            line.sendall(request)
        for line, sent in zip(lines, at, strict=True):
            _receive(line)
            took.append((time.perf_counter() - sent) * 1000)
        turn = max(turn + pause, time.perf_counter() - pause)
        if pause:
            time.sleep(max(0.0, turn - time.perf_counter()))
        else:
            turn = time.perf_counter()
    return took, time.perf_counter() - began


def _receive(line: socket.socket) -> None:
    data = line.recv(65536)
    assert data.startswith(b"HTTP/1.1 200"), data[:200]
    while b"\r\n\r\n" not in data:
        data += line.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    left = int(re.findall(rb"(?i)content-length: *(\d+)", head)[0]) - len(body)
    while left > 0:
        left -= len(line.recv(65536))


if __name__ == "__main__":
    _, to, for_seconds, pauses, lines, sends = sys.argv
    print(json.dumps(_ask(to, float(for_seconds), float(pauses), int(lines), json.loads(sends))))
