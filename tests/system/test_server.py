"""The server as its users start it: real command, real processes, real sockets."""

import http.client
import itertools
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

from tests.apps import BASE, PASSWORD
from tests.engines import Shared
from tests.engines.kernel import wait_until
from tests.system.live import (
    HOST,
    PATIENCE,
    Answer,
    Client,
    Live,
    answer_of,
    begin_publishing,
    environment,
    migrated,
    run,
    sent_in_chunks,
)

pytestmark = pytest.mark.live
Starter = Callable[..., Live]
LOST = (OSError, http.client.HTTPException)
COMMANDS = ("serve", "start", "relay", "migrate", "seed", "doctor", "openapi")
LIMIT = 256 * 1024


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Starts commands in one folder, and ends those that still run."""
    started: list[Live] = []

    def starter(command: str = "serve", **settings: str) -> Live:
        started.append(Live(tmp_path, command, **settings))
        return started[-1]

    yield starter
    for live in started:
        live.close()


@pytest.fixture
def server(start: Starter, tmp_path: Path) -> Live:
    """An empty system on embedded stores, with one worker."""
    migrated(tmp_path)
    return start(WORKERS="1").answering()


def publishing(client: Client, name: str, acknowledged: list[str], stop: threading.Event) -> None:
    """Publish until told to stop, or until there is no answer; record the acknowledged titles."""
    for number in itertools.count():
        title = f"{name} {number}"
        try:
            client.publish(title)
        except LOST:
            return
        acknowledged.append(title)
        if stop.is_set():
            return


def test_start_seeds_once_and_prints_the_url_and_a_login(start: Starter) -> None:
    for number in (1, 2):
        live = start("start").answering()
        address = f"http://{HOST}:{live.port}"
        # The server answers before it has printed all of this.
        assert wait_until(lambda: "sign in with: " in live.output, 10)  # noqa: B023  called before the next one
        assert re.search(rf"{address}\s", live.output)
        assert f"{address}/docs" in live.output
        found = re.search(r"sign in with: +(\w+) / (.+)", live.output)
        assert found
        client = live.client()
        client.token = client.ask("POST", "/sessions", {"login": found[1], "password": found[2]})["token"]
        own = client.titles(f"/accounts/{found[1]}/posts")
        assert ("kept" in own, len(own) > 1) == (number == 2, True)
        client.publish("kept")
        assert client.titles("/feed").count("kept") == number
        live.terminate()
        assert live.ended(10) == 0


def test_requests_under_way_are_answered_after_sigterm(server: Live, start: Starter) -> None:
    ada = server.person("ada")
    bodies = [json.dumps({"title": f"no. {n}", "body": "x"}).encode() for n in range(3)]
    waiting = [begin_publishing(server, ada, body) for body in bodies]
    server.terminate()
    assert wait_until(lambda: not _accepts(server), 20), "it still accepts connections"
    for connection, body in zip(waiting, bodies, strict=True):
        connection.sendall(body)
        assert answer_of(connection).status == 201
        connection.close()
    assert server.ended(10) == 0
    assert sorted(start(WORKERS="1").answering().signed_in(ada).titles("/feed")) == [f"no. {n}" for n in range(3)]


def test_sigterm_under_load_loses_no_answer_to_a_completed_write(server: Live, start: Starter) -> None:
    ada = server.person("ada")
    acknowledged: list[str] = []
    with ThreadPoolExecutor(6) as pool:
        clients = [server.client(ada.token) for _ in range(6)]
        for number, client in enumerate(clients):
            pool.submit(publishing, client, str(number), acknowledged, threading.Event())
        assert wait_until(lambda: len(acknowledged) > 50, 20)
        server.terminate()
        assert server.ended(10) == 0
    assert sorted(start(WORKERS="1").answering().signed_in(ada).titles("/feed")) == sorted(acknowledged)


def test_acknowledged_posts_survive_sigkill(server: Live, start: Starter) -> None:
    ada, bob = server.person("ada"), server.person("bob")
    bob.ask("PUT", f"/accounts/{ada.handle}/follow")
    acknowledged: list[str] = []
    with ThreadPoolExecutor(4) as pool:
        for number in range(4):
            pool.submit(publishing, server.client(ada.token), str(number), acknowledged, threading.Event())
        assert wait_until(lambda: len(acknowledged) > 100, 20)
        server.kill()
    again = start(WORKERS="1").answering()
    reader = again.signed_in(bob)
    for path in ("/feed", f"/accounts/{ada.handle}/posts", "/posts"):
        found = reader.titles(path)
        assert set(acknowledged) <= set(found), path
        assert len(found) == len(set(found)) <= len(acknowledged) + 4, path
    again.signed_in(ada).publish("after")
    assert reader.titles("/feed")[0] == "after"


def test_a_worker_that_dies_is_replaced(start: Starter, tmp_path: Path) -> None:
    migrated(tmp_path)
    server = start(WORKERS="2").answering()
    assert wait_until(lambda: len(server.workers) == 2, 10)
    first, _ = server.workers
    first.send(signal.SIGKILL)
    assert wait_until(lambda: not first.alive() and len(server.workers) == 2, 20), server.output
    assert server.answering().person()
    server.terminate()
    assert server.ended(20) == 0
    # The lines of the server library have the same format as all others.
    assert "_granian" in [json.loads(line)["logger"] for line in server.output.splitlines()]


def test_several_workers_share_one_file(start: Starter, tmp_path: Path) -> None:
    migrated(tmp_path)
    live = start(WORKERS="4", THREADS="2").answering()
    star = live.person("star")
    over = time.monotonic() + 3
    seen: list[Answer] = []

    def live_a_life(number: int) -> int:
        rounds = 0
        while time.monotonic() < over:
            person = live.person(f"p{number}")
            post = person.publish(f"{number} {rounds}")
            for method, path in (
                ("PUT", f"/accounts/{star.handle}/follow"),
                ("PUT", f"/posts/{post}/like"),
                ("GET", "/feed"),
                ("DELETE", f"/posts/{post}/like"),
            ):
                seen.append(person.send(method, path))
            rounds += 1
        return rounds

    with ThreadPoolExecutor(8) as pool:
        lives = sum(pool.map(live_a_life, range(8)))
    assert [a for a in seen if a.status >= 300] == []
    assert star.ask("GET", "/accounts/me")["stats"]["followers"] == lives
    assert not re.search(r'"level": "(error|critical)"|Traceback', live.output)


def test_a_chunked_body_has_the_limit_too(server: Live) -> None:
    whole = [b" " * (LIMIT // 2)] * 2
    for chunks, status, code in ((whole, 400, "malformed_json"), ([*whole, b" "], 413, "body_too_large")):
        answer = sent_in_chunks(server, chunks)
        assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
        assert answer.body["code"] == code
        assert answer.body["request_id"] == answer.headers["x-request-id"]


def test_requests_without_their_body_do_not_delay_others(server: Live) -> None:
    held = [socket.create_connection((HOST, server.port), timeout=10) for _ in range(40)]
    for connection in held:
        connection.sendall(
            f"POST {BASE}/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            "Content-Length: 100\r\n\r\n{".encode()
        )
    try:
        for _ in range(4):
            assert server.client().send("GET", "/health/live").status == 200
    finally:
        for connection in held:
            connection.close()


def test_a_log_line_holds_no_secret(server: Live) -> None:
    ada = server.person("ada")
    client = server.client()
    client.send("POST", "/sessions", {"login": ada.handle, "password": "a wrong secret"})
    client.send("GET", "/posts?tag=a_private_query", X_Request_Id="request-of-mine")
    server.terminate()
    assert server.ended(10) == 0
    lines = [json.loads(line) for line in server.output.splitlines()]
    assert [line["status"] for line in lines if line.get("request_id") == "request-of-mine"] == [200]
    for secret in (PASSWORD, str(ada.token), "a wrong secret", "a_private_query"):
        assert secret not in server.output


def test_the_command_line_has_help_and_exit_codes(tmp_path: Path) -> None:
    told = run(tmp_path, "--help")
    assert told.returncode == 0
    assert [c for c in COMMANDS if not re.search(rf"^  {c} ", told.stdout, re.MULTILINE)] == []
    assert run(tmp_path, "nonsense").returncode == 2
    unmigrated = run(tmp_path, "serve")
    assert (unmigrated.returncode, "quartet migrate" in unmigrated.stderr) == (1, True)
    assert run(tmp_path, "migrate", "--dry-run").returncode == 0
    assert "0 steps" not in run(tmp_path, "migrate").stdout
    assert "0 steps" in run(tmp_path, "migrate").stdout
    outbox = run(tmp_path, "doctor", "outbox")
    assert (outbox.returncode, outbox.stderr) == (0, "")
    for name in ("relational", "documents"):
        assert f"{name}: 0 unsent, 0 dead-lettered" in outbox.stdout


@pytest.mark.proof
def test_feeds_are_complete_on_the_engines_before_and_after_the_relay(
    engines: Shared, start: Starter, tmp_path: Path
) -> None:
    own = {
        name.removeprefix("QUARTET_"): url.replace("/quartet?", f"/live_{uuid4().hex}?")
        for name, url in engines.environment().items()
    }
    assert run(tmp_path, "migrate", **own).returncode == 0
    live = start(**own).answering()
    ada, bob, cyd = (live.person(name) for name in ("ada", "bob", "cyd"))
    old = ada.publish("before the follows")
    for fan in (bob, cyd):
        fan.ask("PUT", f"/accounts/{ada.handle}/follow")
    posts = [ada.publish(f"no. {n}") for n in range(5)][::-1]
    titles = [f"no. {n}" for n in range(5)][::-1]
    ada.ask("PATCH", f"/posts/{old}", {"title": "edited"}, If_Match="*")
    ada.ask("DELETE", f"/posts/{posts[2]}", If_Match="*")
    expected = [t for t in titles if t != "no. 2"] + ["edited"]
    assert [p.titles("/feed") for p in (ada, bob, cyd)] == [expected] * 3
    assert "0 unsent" not in run(tmp_path, "doctor", "outbox", **own).stdout

    relay = start("relay", **own)
    assert wait_until(
        lambda: run(tmp_path, "doctor", "outbox", **own).stdout.count(": 0 unsent, 0 dead-lettered") == 2, 60
    )
    assert [p.titles("/feed") for p in (ada, bob, cyd)] == [expected] * 3
    for command in (relay, live):
        command.terminate()
        assert command.ended(10) == 0


def _accepts(live: Live) -> bool:
    try:
        socket.create_connection((HOST, live.port), timeout=1).close()
    except OSError:
        return False
    return True


def test_another_server_process_cannot_import_the_application(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import app.wsgi"],
        env=environment(tmp_path, {}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr.splitlines()[-1].partition(": ")[0]) == (1, "app.server.granian.OtherServer")
    assert "`quartet serve`" in done.stderr
    assert list(tmp_path.iterdir()) == [], "a store was opened"
