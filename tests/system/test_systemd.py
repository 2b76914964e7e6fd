"""systemd accepts the units of `deploy/systemd`, and rates their exposure as low."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from app.cli import main
from app.server.granian import DRAIN_SECONDS
from config import Settings
from tests.system.live import QUARTET

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
INSTALLED = "/opt/quartet/bin/quartet"
# systemd's exposure level, from 0 to 100: up to 50 is OK, and a service without any hardening has 96.
EXPOSURE = 20


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The units, with the command of this environment."""
    folder = tmp_path_factory.mktemp("systemd") / "units"
    shutil.copytree(FOLDER, folder)
    found = sorted(folder.glob("*.service")) + sorted(folder.glob("*.timer"))
    for unit in found:
        unit.write_text(unit.read_text().replace(INSTALLED, QUARTET))
    return found


def analyzed(units: list[Path], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = shutil.which("systemd-analyze")
    if command is None:
        pytest.skip("systemd-analyze is missing: install the package systemd")
    own = os.environ | {"SYSTEMD_UNIT_PATH": f"{units[0].parent}:", "SYSTEMD_COLORS": "0"}
    return subprocess.run([command, *arguments], env=own, capture_output=True, text=True, check=False)


def test_systemd_understands_the_units(units: list[Path]) -> None:
    names = [unit.name.replace("@.", "@8001.") for unit in units]
    assert len(names) == 7
    found = analyzed(units, "verify", "--man=no", *names)
    assert (found.returncode, found.stderr) == (0, "")


def test_a_unit_that_is_wrong_is_found(units: list[Path], tmp_path: Path) -> None:
    wrong = tmp_path / "quartet-wrong.service"
    wrong.write_text("[Service]\nExecStart=/nowhere/quartet serve\nProtectSytem=strict\n")
    found = analyzed(units, "verify", "--man=no", str(wrong))
    assert "ProtectSytem" in found.stderr


def test_the_exposure_of_the_services_is_low(units: list[Path]) -> None:
    services = [unit.name for unit in units if unit.suffix == ".service"]
    found = analyzed(units, "security", "--offline=true", f"--threshold={EXPOSURE}", *services)
    assert found.returncode == 0, found.stdout
    # Without the drop-in the unit does not pass.
    lone = units[0].parent / "without.service"
    lone.write_text((units[0].parent / "quartet-relay.service").read_text())
    found = analyzed(units, "security", "--offline=true", f"--threshold={EXPOSURE}", str(lone))
    lone.unlink()
    assert found.returncode != 0


def test_the_units_call_existing_commands() -> None:
    text = "".join(unit.read_text() for unit in FOLDER.glob("*.service"))
    called = re.findall(rf"{INSTALLED} (\w+)", text)
    assert set(called) == {"serve", "relay", "migrate", "dump", "doctor"}
    assert set(called) <= set(main.list_commands(click.Context(main)))


def test_a_server_has_the_time_to_drain() -> None:
    [seconds] = re.findall(r"TimeoutStopSec=(\d+)", (FOLDER / "quartet-server@.service").read_text())
    assert int(seconds) > Settings().drain_seconds + DRAIN_SECONDS
