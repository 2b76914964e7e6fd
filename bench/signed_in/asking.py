"""Sends requests of many readers: one by one, returning the answers, or as many as the server takes, by wrk."""

import http.client
import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from msgspec import Struct

CONNECTIONS = 8
PATIENCE = 60.0
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
# Each of wrk's two threads cycles through all requests; the second starts in the middle.
SCRIPT = """
local count, requests, turn = 0, {}, 0
function setup(thread) thread:set("number", count); count = count + 1 end
function init(args)
  for line in io.lines(args[1]) do
    local path, name, value = line:match("^(%S+) (%S+) ?(.*)$")
    local headers = {Authorization = "Bearer " .. name}
    if value ~= "" then headers["If-None-Match"] = value end
    requests[#requests + 1] = wrk.format("GET", path, headers)
  end
  turn = number * math.floor(#requests / 2)
end
function request() turn = turn % #requests + 1; return requests[turn] end
"""


class Request(Struct, frozen=True):
    """A GET request. `etag` is sent as If-None-Match unless empty."""

    path: str
    token: str = "-"  # noqa: S105  no valid token
    etag: str = ""


class Answer(Struct, frozen=True):
    """An answer. The names of the headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Load(Struct, frozen=True):
    """The number of answers in `seconds`, and the percentiles of their durations in milliseconds."""

    answers: int
    seconds: float
    p50: float
    p99: float


def ask(address: str, request: Request) -> Answer:
    headers = {"Authorization": f"Bearer {request.token}"} | ({"If-None-Match": request.etag} if request.etag else {})
    sent = urllib.request.Request(address + request.path, headers=headers)  # noqa: S310  our own address
    try:
        with urllib.request.urlopen(sent, timeout=PATIENCE) as answer:  # noqa: S310
            return Answer(answer.status, _lower(answer.headers), json.load(answer))
    except urllib.error.HTTPError as error:
        return Answer(error.code, _lower(error.headers), error.read().decode())


def _lower(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def publish(address: str, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    body = json.dumps({"title": "News", "body": "A lamp of brass is lit."}).encode()
    sent = urllib.request.Request(f"{address}/api/v1/posts", data=body, headers=headers)  # noqa: S310  our own address
    urllib.request.urlopen(sent, timeout=PATIENCE).close()  # noqa: S310


def text(url: str) -> str:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:  # noqa: S310  our own address
        said: bytes = answer.read()
    return said.decode()


def full(address: str, requests: Sequence[Request], seconds: float, folder: Path) -> Load:
    wrk = shutil.which("wrk")
    if wrk is None:
        raise click.ClickException("this bench needs wrk, which is a package of most distributions")
    script, lines = folder / "requests.lua", folder / "requests.txt"
    script.write_text(SCRIPT, encoding="utf-8")
    lines.write_text("".join(f"{r.path} {r.token} {r.etag}".rstrip() + "\n" for r in requests), encoding="utf-8")
    options = ["-t2", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "--timeout", "30s", "--latency"]
    command = [wrk, *options, "-s", str(script), address, str(lines)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in said, said
    assert "Socket errors" not in said, said
    answers, took = re.findall(r"(\d+) requests in ([\d.]+)s", said)[0]
    shares = {share: float(n) * UNITS[unit] for share, n, unit in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s)", said)}
    return Load(int(answers), float(took), shares["50"], shares["99"])


def each(address: str, requests: Sequence[Request]) -> Load:
    """Send every request once, over `CONNECTIONS` connections."""
    began = time.perf_counter()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        parts = pool.map(lambda n: _in_turn(address, requests[n::CONNECTIONS]), range(CONNECTIONS))
        took = sorted(one for part in parts for one in part)
    return Load(len(took), time.perf_counter() - began, took[len(took) // 2], took[len(took) * 99 // 100])


def _in_turn(address: str, requests: Sequence[Request]) -> list[float]:
    """Send the requests over one connection. Returns the milliseconds of each answer."""
    line = http.client.HTTPConnection(urlsplit(address).netloc, timeout=PATIENCE)
    took = []
    for request in requests:
        sent = time.perf_counter()
        line.request("GET", request.path, headers={"Authorization": f"Bearer {request.token}"})
        answer = line.getresponse()
        answer.read()
        assert answer.status == 200, (request, answer.status)
        took.append((time.perf_counter() - sent) * 1000)
    line.close()
    return took
