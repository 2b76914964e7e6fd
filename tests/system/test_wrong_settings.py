"""What the command says of settings that cannot be meant."""

from pathlib import Path

import pytest

from tests.system.live import run

pytestmark = pytest.mark.live

NOBODY_LISTENS = "127.0.0.1:9"
UNREACHABLE = {
    "RELATIONAL_URL": f"postgresql://quartet@{NOBODY_LISTENS}/quartet",
    "DOCUMENTS_URL": f"mongodb://{NOBODY_LISTENS}/quartet?replicaSet=rs0",
    "FEEDS_URL": f"cassandra://{NOBODY_LISTENS}/quartet",
    "SESSIONS_URL": f"redis://{NOBODY_LISTENS}/0",
    "CACHE_URL": f"redis://{NOBODY_LISTENS}/0",
}


@pytest.mark.parametrize(
    ("name", "value"), [("WORKERS", "many"), ("SECRET_KEY", "short"), ("FEEDS_URL", "redis://x"), ("RELAY", "maybe")]
)
def test_a_wrong_setting_is_one_line_that_names_it(tmp_path: Path, name: str, value: str) -> None:
    ended = run(tmp_path, "serve", **{name: value})
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
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
def test_a_wrong_url_is_one_line_that_names_its_variable_and_tells_none_of_it(
    tmp_path: Path, name: str, value: str
) -> None:
    ended = run(tmp_path, "migrate", **{name: value})
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert f"QUARTET_{name}: " in ended.stderr
    assert "topsecret" not in ended.stderr


@pytest.mark.parametrize("command", ["migrate", "serve"])
@pytest.mark.parametrize("name", UNREACHABLE)
def test_an_engine_that_is_not_there_is_named_by_its_variable(tmp_path: Path, command: str, name: str) -> None:
    ended = run(tmp_path, command, **{name: UNREACHABLE[name]})
    assert ended.returncode == 1
    assert f"QUARTET_{name}" in ended.stderr
    assert "Traceback" not in ended.stderr
