"""The wheel contains exactly the three packages, and the files that they need at run time."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli import main
from app.versions import DRIVERS
from repositories.relational.migrations import head

ROOT = Path(__file__).parents[2]


def test_the_wheel_holds_the_three_packages_and_nothing_else(tmp_path: Path) -> None:
    number = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    wheel = build(ROOT, "wheel", tmp_path / "wheel")
    assert wheel.name.startswith(f"quartet-{number}-")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/", 1)[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"app", "repositories", "config"}
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    for needed in ("app/http/document/assets/swagger-ui-bundle.js", "repositories/relational/migrations/env.py"):
        assert needed in names


def copy_of_the_tree(to: Path) -> Path:
    """Copy the tree without files ignored by git, and with different times and permissions."""
    ignored = shutil.ignore_patterns(
        ".git", ".venv", "var", "dist", "build", "__pycache__", ".*_cache", ".hypothesis", ".env"
    )
    shutil.copytree(ROOT, to, ignore=ignored, copy_function=shutil.copyfile)
    for path in to.rglob("*"):
        if path.is_file():
            path.chmod(0o700 if os.access(ROOT / path.relative_to(to), os.X_OK) else 0o600)
    return to


def build(tree: Path, target: str, into: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(into)]
    subprocess.run(command, cwd=tree, check=True, capture_output=True)
    [made] = into.iterdir()
    return made


def test_a_build_gives_the_same_bytes_elsewhere(tmp_path: Path) -> None:
    elsewhere = copy_of_the_tree(tmp_path / "elsewhere")
    for target in ("wheel", "sdist"):
        here, there = (build(tree, target, tmp_path / f"{target}-{tree.name}") for tree in (ROOT, elsewhere))
        assert hashlib.sha256(here.read_bytes()).digest() == hashlib.sha256(there.read_bytes()).digest(), target


@pytest.mark.proof
def test_a_release_runs_alone_and_lists_its_contents(tmp_path: Path) -> None:
    """The release is built from the source distribution alone."""
    shutil.unpack_archive(build(ROOT, "sdist", tmp_path / "sdist"), tmp_path)
    [tree] = tmp_path.glob("quartet-*")
    subprocess.run(["make", "release", f"PYTHON={sys.executable}"], cwd=tree, check=True)
    quartet, folder = tree / "build/installed/bin/quartet", tmp_path / "empty"
    folder.mkdir()
    for arguments in (["migrate"], ["openapi"]):
        found = subprocess.run([quartet, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    assert json.loads(found.stdout) == json.loads((ROOT / "docs/openapi.json").read_text())
    parts = json.loads((tree / "dist/quartet.cdx.json").read_text())
    assert parts["metadata"]["component"]["name"] == "quartet"
    assert {"Flask", "SQLAlchemy", "psycopg", "cassandra-driver", "pymongo", "redis"} <= {
        part["name"] for part in parts["components"] if part["licenses"] and part["version"]
    }


def test_the_command_tells_its_version() -> None:
    told = CliRunner().invoke(main, ["--version"])
    assert (told.exit_code, told.output) == (0, f"quartet {version('quartet')}\n")


def test_the_version_command_lists_what_is_installed() -> None:
    found = CliRunner().invoke(main, ["version", "--json"])
    parts = json.loads(found.output)
    locked = dict(
        re.findall(r"^([\w-]+)(?:\[\w+\])?==(\S+)", (ROOT / "requirements/run.txt").read_text(), re.MULTILINE)
    )
    assert (parts["quartet"], parts["schema"]) == (version("quartet"), head())
    assert parts["drivers"] == {name: locked[name] for name in DRIVERS}
    plain = CliRunner().invoke(main, ["version"]).output.splitlines()
    assert plain[:2] == [f"quartet {version('quartet')}", f"schema {head()}"]
    assert [f"{name} {number}" for name, number in parts["drivers"].items()] == plain[-len(DRIVERS) :]


def test_the_changelog_has_this_version() -> None:
    number = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"\n## {number} - " in (ROOT / "CHANGELOG.md").read_text()
