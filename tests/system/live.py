"""A real server as a child process, and a plain HTTP client for it."""

import atexit
import functools
import gzip
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from tests.apps import BASE, PASSWORD
from tests.engines.guard import guarded
from tests.engines.kernel import Process, descendants, destroy, free_port, process, wait_gone, wait_until

QUARTET = str(Path(sys.executable).parent / "quartet")
ROOT = str(Path(__file__).parents[2])
HOST = "127.0.0.1"
PATIENCE = 30.0
# Seconds. Loading the small data set takes seconds on an idle machine, and minutes with other tests on busy engines.
LONG = 900.0
# Paths that are not below `BASE`.
OUTSIDE = ("/health", "/docs", "/openapi.json")


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: Any


class ServiceUnavailable(AssertionError):
    """The server answered with a 503, so the request may be repeated."""


class Client:
    """One person on one connection. Header names in answers are lower-case."""

    def __init__(self, port: int, token: str | None = None) -> None:
        self.handle = ""
        self.token = token
        self._connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send a request. Raises `OSError` or `http.client.HTTPException` if the answer is missing or incomplete."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        if body is not None and not isinstance(body, bytes):
            body, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
        try:
            self._connection.request(method, path if path.startswith(OUTSIDE) else BASE + path, body, sent)
            response = self._connection.getresponse()
            raw = response.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        names = {name.lower(): value for name, value in response.getheaders()}
        is_json = "json" in names.get("content-type", "")
        if names.get("content-encoding") == "gzip":
            raw = gzip.decompress(raw)
        return Answer(response.status, names, json.loads(raw) if is_json and raw else raw)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send a request; returns the body of a successful answer. Raises `ServiceUnavailable` for a 503."""
        answer = self.send(method, path, body, **headers)
        if answer.status == 503:
            raise ServiceUnavailable(method, path, answer)
        assert answer.status < 300, (method, path, answer)
        return answer.body

    def publish(self, title: str) -> str:
        return str(self.ask("POST", "/posts", {"title": title, "body": "Some words."})["post"]["id"])

    def titles(self, path: str) -> list[str]:
        """The titles of all posts of a list, read page by page."""
        found, cursor = [], ""
        while True:
            page = self.ask("GET", f"{path}?limit=100{cursor}")
            found += [item["post"]["title"] for item in page["items"]]
            if page["next"] is None:
                return found
            cursor = f"&cursor={page['next']}"

    def close(self) -> None:
        self._connection.close()


def environment(folder: Path, settings: dict[str, str], tree: str = ROOT) -> dict[str, str]:
    """The environment of a command: of the machine's variables only PATH, and the code of this checkout or of
    `tree`, as in PYTHONPATH.
    """
    own = {"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8", "PYTHONPATH": tree}
    own["QUARTET_LOG_FORMAT"] = "json"  # tests parse the log
    own["QUARTET_DRAIN_SECONDS"] = "0"  # no proxy has to notice the end
    own["QUARTET_QUEUE_SECONDS"] = "10"  # so that a busy machine is no overload
    return own | {f"QUARTET_{name}": value for name, value in settings.items()}


def command_of(tree: str) -> list[str]:
    """This checkout's `quartet`, or for a whole other checkout its own entry point, which may be another."""
    other = Path(tree) / "pyproject.toml"
    if tree == ROOT or not other.exists():
        return [QUARTET]
    scripts = tomllib.loads(other.read_text(encoding="utf-8"))["project"]["scripts"]
    module, _, function = scripts["quartet"].partition(":")
    return [sys.executable, "-P", "-c", f"import sys; from {module} import {function}; sys.exit({function}())"]


def run(folder: Path, *arguments: str, tree: str = ROOT, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*command_of(tree), *arguments],
        cwd=folder,
        env=environment(folder, settings, tree),
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )


def migrated(folder: Path) -> None:
    """Copy the files that `quartet migrate` makes into `folder`. The command itself runs only once."""
    shutil.copytree(_migrated() / "var", folder / "var")


@functools.cache
def _migrated() -> Path:
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    done = run(folder, "migrate")
    assert done.returncode == 0, done.stderr
    return folder


class Live:
    """A command that runs in a folder until it is ended. The folder stays."""

    def __init__(self, folder: Path, command: str = "serve", *, tree: str = ROOT, **settings: str) -> None:
        self.port = int(settings.get("PORT", 0)) or free_port()
        self._clients: list[Client] = []
        self._log = folder / f"{command}-{uuid4().hex}.log"
        with self._log.open("wb") as log:
            self._popen = subprocess.Popen(
                guarded([*command_of(tree), command], death=signal.SIGTERM),
                cwd=folder,
                env=environment(folder, {"PORT": str(self.port), "REGISTRATIONS": "0", **settings}, tree),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def output(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def answering(self) -> "Live":
        """Wait until it serves."""
        assert wait_until(lambda: self._popen.poll() is not None or self._serves(), PATIENCE * 4), self.output
        assert self._popen.poll() is None, self.output
        return self

    def client(self, token: str | None = None) -> Client:
        self._clients.append(Client(self.port, token))
        return self._clients[-1]

    def person(self, name: str = "person") -> Client:
        """Register somebody new and sign them in."""
        client = self.client()
        client.handle = f"{name}_{uuid4().hex[:12]}"
        login = {"handle": client.handle, "password": PASSWORD}
        client.ask("POST", "/accounts", login | {"email": f"{client.handle}@example.com", "display_name": name})
        return self.signed_in(client)

    def signed_in(self, client: Client) -> Client:
        """The same person, signed in on a connection to this server."""
        fresh = self.client()
        fresh.handle = client.handle
        fresh.token = fresh.ask("POST", "/sessions", {"login": client.handle, "password": PASSWORD})["token"]
        return fresh

    def terminate(self) -> None:
        self._popen.send_signal(signal.SIGTERM)

    def ended(self, seconds: float) -> int:
        """Wait for its end; returns the exit code. Raises `subprocess.TimeoutExpired`."""
        return self._popen.wait(seconds)

    @property
    def workers(self) -> list[Process]:
        """The processes that answer requests, without Python's resource tracker."""
        return [child for child in descendants(self._popen.pid) if _answers(child)]

    def kill(self) -> None:
        """Send SIGKILL to the command and all its descendants at once."""
        found = process(self._popen.pid)
        family = destroy(found) if found else []
        self._popen.wait(PATIENCE)
        assert wait_gone(family, PATIENCE)

    def close(self) -> None:
        for client in self._clients:
            client.close()
        family = descendants(self._popen.pid)
        if self._popen.poll() is None:
            self.kill()
        assert wait_gone(family, PATIENCE)

    def _serves(self) -> bool:
        client = Client(self.port)
        try:
            return client.send("GET", "/health/ready").status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            client.close()


def _answers(child: Process) -> bool:
    """Whether a child is a worker. A process that has ended has no command line, even while it still exists."""
    try:
        command = Path(f"/proc/{child.pid}/cmdline").read_bytes()
    except OSError:
        return False
    return bool(command) and b"resource_tracker" not in command


def begin_publishing(live: Live, client: Client, body: bytes) -> socket.socket:
    """Begin a request to publish, without its body: the server has started to handle it, as its 100 shows."""
    connection = socket.create_connection((HOST, live.port), timeout=10)
    connection.sendall(
        f"POST {BASE}/posts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {client.token}\r\nExpect: 100-continue\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    )
    assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
    return connection


def answer_of(connection: socket.socket) -> Answer:
    response = http.client.HTTPResponse(connection, method="POST")
    response.begin()
    return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, json.loads(response.read()))


def sent_in_chunks(live: Live, chunks: list[bytes]) -> Answer:
    """Send a request with a chunked body, whose length is unknown in advance."""
    with socket.create_connection((HOST, live.port), timeout=10) as connection:
        connection.sendall(
            f"POST {BASE}/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        # In one piece: a server that refuses the body early may close before it has read the rest.
        connection.sendall(b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in [*chunks, b""]))
        return answer_of(connection)
