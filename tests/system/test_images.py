"""A real `docker compose up`: the image and the five servers, a story, kills and restarts (`make test-images`)."""

import http.client
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode
from uuid import uuid4

import pytest

from tests.apps import PASSWORD
from tests.engines.kernel import free_port, wait_until
from tests.system.live import Client

pytestmark = pytest.mark.proof
ROOT = Path(__file__).parents[2]
PATIENCE = 180.0
TOKEN = "a token that operators of this project have"
STORES = ("postgres", "mongo", "cassandra", "sessions", "cache")


class Compose:
    """The services of the compose file, as a separate project on a free port."""

    def __init__(self) -> None:
        self.port = free_port()
        self._command = ["docker", "compose", "--project-name", f"quartet-{uuid4().hex[:8]}"]

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        own = os.environ | {"QUARTET_PORT": f"{self.port}", "QUARTET_CONSOLE_TOKEN": TOKEN}
        command = [*self._command, *arguments]
        done = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, check=False)
        if check and done.returncode:
            pytest.fail(done.stderr[-1000:] + self.run("logs", "--tail", "5", "migrate", "app", check=False).stdout)
        return done

    def state(self, service: str) -> dict[str, object]:
        """The container's state: `Status`, `ExitCode`, and `Health` if it has a health check."""
        found = self.run("ps", "--all", "--quiet", service).stdout.split()
        made = subprocess.run(["docker", "inspect", *found], check=True, capture_output=True, text=True)
        [container] = json.loads(made.stdout)
        state: dict[str, object] = container["State"]
        return state

    def is_healthy(self, service: str) -> bool:
        health = self.state(service)["Health"]
        return isinstance(health, dict) and health["Status"] == "healthy"

    def client(self, token: str | None = None) -> Client:
        return Client(self.port, token)

    def person(self, name: str) -> Client:
        client = self.client()
        client.handle = f"{name}_{uuid4().hex[:12]}"
        login = {"handle": client.handle, "password": PASSWORD}
        client.ask("POST", "/accounts", login | {"email": f"{client.handle}@example.com", "display_name": name})
        client.token = client.ask("POST", "/sessions", {"login": client.handle, "password": PASSWORD})["token"]
        return client

    def is_ready(self) -> bool:
        with closing(self.client()) as client:
            try:
                return client.send("GET", "/health/ready").status == 200
            except OSError:
                return False


@pytest.fixture(scope="module")
def compose() -> Iterator[Compose]:
    if shutil.which("docker") is None or subprocess.run(["docker", "compose", "version"], check=False).returncode:
        pytest.skip("docker compose is missing")
    found = Compose()
    try:
        found.run("up", "--detach", "--build")
        assert wait_until(partial(found.is_healthy, "app"), PATIENCE), found.run("logs", "app").stdout
        yield found
    finally:
        found.run("down", "--volumes", "--timeout", "30")


class Story(NamedTuple):
    """The tokens of an author and a follower. Each request has its own connection, since servers end."""

    compose: Compose
    ada: str
    bob: str

    def publish(self, title: str) -> None:
        with closing(self.compose.client(self.ada)) as client:
            client.publish(title)

    def shows(self, *titles: str) -> bool:
        with closing(self.compose.client(self.bob)) as client:
            return client.titles("/feed") == list(titles)


@pytest.fixture(scope="module")
def story(compose: Compose) -> Story:
    ada, bob = compose.person("ada"), compose.person("bob")
    with closing(ada), closing(bob):
        bob.ask("PUT", f"/accounts/{ada.handle}/follow")
        ada.publish("First")
    return Story(compose, ada.token or "", bob.token or "")


def delivered(compose: Compose) -> bool:
    found = compose.run("exec", "-T", "app", "quartet", "doctor", "outbox").stdout
    return found.count(" 0 unsent, 0 dead-lettered") == 2


def test_every_service_is_up(compose: Compose) -> None:
    for service in ("app", *STORES):
        assert wait_until(partial(compose.is_healthy, service), PATIENCE), service
    assert compose.state("relay")["Status"] == "running"
    assert (compose.state("migrate")["Status"], compose.state("migrate")["ExitCode"]) == ("exited", 0)


def test_a_published_post_is_read_and_delivered(compose: Compose, story: Story) -> None:
    assert story.shows("First")
    assert wait_until(partial(delivered, compose), 60)
    assert story.shows("First")


def test_the_console_has_the_figures_of_the_relay(compose: Compose, story: Story) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", compose.port, timeout=30)) as connection:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", "/console/sign-in", urlencode({"token": TOKEN}), form)
        with connection.getresponse() as signed_in:
            cookie = str(signed_in.headers["Set-Cookie"]).partition(";")[0]
        connection.request("GET", "/console/live", headers={"Cookie": cookie})
        page = connection.getresponse().read().decode()
    assert "Relays that answer: 1." in page
    assert "PostPublished" in page


@pytest.mark.parametrize("service", ["app", "relay"])
def test_a_service_is_unprivileged_and_its_files_are_read_only(compose: Compose, service: str) -> None:
    def inside(script: str) -> subprocess.CompletedProcess[str]:
        return compose.run("exec", "-T", service, "sh", "-c", script, check=False)

    assert inside("id -u").stdout.strip() == "10001"
    assert "CapEff:\t0000000000000000" in inside("cat /proc/self/status").stdout
    assert "NoNewPrivs:\t1" in inside("cat /proc/self/status").stdout
    for folder in ("/", "/srv/quartet", "/opt/quartet", "/var/tmp"):  # noqa: S108  # the container's own
        assert "Read-only file system" in inside(f"touch {folder}/x").stderr, folder
    assert inside("touch /tmp/x && rm /tmp/x").returncode == 0
    assert inside("python -m pip --version").returncode != 0


def test_the_stores_are_reached_by_the_application_alone(compose: Compose) -> None:
    for service in STORES:
        assert compose.run("port", service, "1", check=False).stdout.strip() in ("", ":0")


def test_a_stopped_service_exits_in_time_with_status_0(compose: Compose, story: Story) -> None:
    for service in ("app", "relay"):
        compose.run("stop", "--timeout", "30", service)
        assert compose.state(service)["ExitCode"] == 0, service
    compose.run("start", "app", "relay")
    assert wait_until(compose.is_ready, PATIENCE)
    assert story.shows("First")


def test_killed_services_restart_with_all_acknowledged_posts(compose: Compose, story: Story) -> None:
    story.publish("Second")
    # From outside, since Docker does not restart containers ended by `docker kill`.
    for service in (*STORES, "app", "relay"):
        pid = compose.state(service)["Pid"]
        subprocess.run(["kill", "-KILL", f"{pid}"], check=True)
    assert wait_until(compose.is_ready, PATIENCE)
    assert story.shows("Second", "First")
    story.publish("Third")
    assert wait_until(partial(delivered, compose), PATIENCE)
    assert story.shows("Third", "Second", "First")


def test_all_services_start_again_on_the_stored_data(compose: Compose, story: Story) -> None:
    compose.run("down", "--timeout", "30")
    compose.run("up", "--detach")
    assert wait_until(compose.is_ready, PATIENCE)
    assert story.shows("Third", "Second", "First")
    assert "0 steps" in compose.run("logs", "migrate").stdout
