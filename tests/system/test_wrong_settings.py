"""The command's error messages for invalid settings."""

import os
import socket
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli import main
from tests.engines.kernel import free_port
from tests.system.live import HOST, migrated, run

NOBODY_LISTENS = "127.0.0.1:9"
UNREACHABLE = {
    "RELATIONAL_URL": f"postgresql://quartet@{NOBODY_LISTENS}/quartet",
    "DOCUMENTS_URL": f"mongodb://{NOBODY_LISTENS}/quartet?replicaSet=rs0",
    "FEEDS_URL": f"cassandra://{NOBODY_LISTENS}/quartet",
    "SESSIONS_URL": f"redis://{NOBODY_LISTENS}/0",
    "CACHE_URL": f"redis://{NOBODY_LISTENS}/0",
}


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command in this process, in a new folder, with these settings only."""
    monkeypatch.chdir(tmp_path)
    # `serve` would make the series of this process, and of the tests after it, those of a server's processes.
    import_module("app.telemetry.series")
    others = dict.fromkeys(name for name in os.environ if name.startswith("QUARTET_"))

    def command(name: str, **settings: str) -> Result:
        own = {f"QUARTET_{setting}": value for setting, value in settings.items()}
        return CliRunner().invoke(main, [name], env=others | own)

    return command


@pytest.mark.live
def test_a_process_with_a_wrong_setting_prints_it_and_ends(tmp_path: Path) -> None:
    ended = run(tmp_path, "serve", WORKERS="many")
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert "QUARTET_WORKERS" in ended.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKERS", "many"),
        ("SECRET_KEY", "short"),
        ("FEEDS_URL", "redis://x"),
        ("RELAY", "maybe"),
        ("TRACES_URL", "collector:4318"),
        ("TRACES_SAMPLED", "2"),
        ("METRICS_ADDRESS", "9000"),
        ("HOST", "localhost"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(command: Callable[..., Result], name: str, value: str) -> None:
    ended = command("serve", **{name: value})
    assert (ended.exit_code, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert f"QUARTET_{name}" in ended.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RELATIONAL_URL", "postgresql://u:topsecret@h1:x,h2:5432/db"),
        ("RELATIONAL_URL", "postgresql://u:topsecret/@h/db"),
        ("DOCUMENTS_URL", "mongodb://u:topsecret@h/db?tsl=true"),
        ("FEEDS_URL", "cassandra://u:topsecret@h/feeds?sll=true"),
        ("SESSIONS_URL", "redis://u:topsecret@h:99999/0"),
        ("CACHE_URL", "redis://u:topsecret@h/0?socket_timeout=1"),
        ("CACHE_URL", "sqlite:///:memory:"),
    ],
)
def test_a_wrong_url_is_one_line_with_its_variable_but_not_its_value(
    command: Callable[..., Result], name: str, value: str
) -> None:
    ended = command("migrate", **{name: value})
    assert (ended.exit_code, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert f"QUARTET_{name}: " in ended.stderr
    assert "topsecret" not in ended.stderr


@pytest.fixture
def taken() -> Iterator[int]:
    """The port of a server that shares it with others, as granian does."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind((HOST, 0))
        other.listen()
        yield other.getsockname()[1]


@pytest.mark.live
@pytest.mark.parametrize("word", ["serve", "start"])
def test_a_server_does_not_share_the_port_of_another_one(tmp_path: Path, taken: int, word: str) -> None:
    ended = run(tmp_path, word, PORT=str(taken), BOOT_SECONDS="0", LOG_LEVEL="error")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        f"Error: QUARTET_HOST and QUARTET_PORT: cannot listen on {HOST}, port {taken}: Address already in use\n"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.live
@pytest.mark.parametrize(
    ("name", "value"), [("HOST", "192.0.2.1"), ("METRICS_ADDRESS", "{taken}"), ("METRICS_ADDRESS", "{own}")]
)
def test_an_address_that_cannot_be_listened_on_is_one_line(tmp_path: Path, taken: int, name: str, value: str) -> None:
    own = free_port()
    address = value.format(taken=f"{HOST}:{taken}", own=f"0.0.0.0:{own}")
    ended = run(tmp_path, "serve", **{"PORT": str(own), "BOOT_SECONDS": "0", "LOG_LEVEL": "error", name: address})
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert ended.stderr.startswith("Error: QUARTET_")
    assert f"QUARTET_{name}" in ended.stderr


@pytest.mark.live
def test_a_relay_names_the_setting_of_an_address_in_use(tmp_path: Path, taken: int) -> None:
    migrated(tmp_path)
    ended = run(tmp_path, "relay", RELAY_METRICS_PORT=str(taken), BOOT_SECONDS="0", LOG_LEVEL="error")
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert "QUARTET_RELAY_METRICS_PORT: cannot listen" in ended.stderr


@pytest.mark.parametrize("name", UNREACHABLE)
@pytest.mark.parametrize("word", ["migrate", "serve"])
def test_a_missing_engine_is_named_by_its_variable(command: Callable[..., Result], word: str, name: str) -> None:
    ended = command(word, BOOT_SECONDS="0", PORT=str(free_port()), **{name: UNREACHABLE[name]})
    assert ended.exit_code == 1
    assert isinstance(ended.exception, SystemExit)
    assert f"QUARTET_{name}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_traces_without_their_extra_are_one_line_that_says_what_to_install(
    command: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    ended = command("migrate", TRACES_URL="http://127.0.0.1:9")
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr == "Error: QUARTET_TRACES_URL: needs OpenTelemetry's SDK: install quartet[traces]\n"
