"""The wheel holds exactly the three packages, and what they need at run time."""

import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

from click.testing import CliRunner

from app.cli import main

ROOT = Path(__file__).parents[2]


def test_the_wheel_holds_the_three_packages_and_nothing_else(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    number = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    (wheel,) = tmp_path.glob(f"quartet-{number}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/", 1)[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"app", "repositories", "config"}
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    for needed in ("app/http/document/assets/swagger-ui-bundle.js", "repositories/relational/migrations/env.py"):
        assert needed in names


def test_the_command_tells_its_version() -> None:
    told = CliRunner().invoke(main, ["--version"])
    assert (told.exit_code, told.output) == (0, f"quartet {version('quartet')}\n")


def test_the_changelog_has_this_version() -> None:
    number = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"\n## {number} - " in (ROOT / "CHANGELOG.md").read_text()
