"""Every command says that a system is not migrated, in one line, and leaves no file behind."""

import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from app.cli import main

# These work without tables: they make them, look at the engines only, or need no store.
WITHOUT_TABLES = {"migrate", "start", "seed", "doctor advice", "openapi", "asyncapi", "version"}
# This process could not be forked safely. The check is the same function.
FORKING = {"serve"}
ARGUMENTS = {
    "dump": ["file"],
    "move": ["feeds", "--to", "sqlite:///new.db"],
    "restore": ["file"],
    "sinks forget": ["one"],
    "sinks replay": ["one", "--since", "2026-01-01T00:00:00"],
}


def _commands(group: click.Group, path: str = "") -> Iterator[str]:
    """The names of all commands, those of groups included."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if isinstance(found, click.Group):
            yield from _commands(found, f"{path}{name} ")
        else:
            yield f"{path}{name}"


@pytest.mark.parametrize("name", sorted({*_commands(main)} - WITHOUT_TABLES - FORKING))
def test_a_command_asks_for_the_migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    settings: dict[str, str | None] = dict.fromkeys(one for one in os.environ if one.startswith("QUARTET_"))
    ended = CliRunner().invoke(main, [*name.split(), *ARGUMENTS.get(name, [])], env=settings)
    assert (ended.exit_code, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert ended.stderr.endswith("migration steps are pending: run `quartet migrate` first\n")
    assert not list(tmp_path.iterdir())
