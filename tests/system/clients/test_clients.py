"""Clients generated from the OpenAPI document run the README's first session.

TypeScript needs Node and npm: `.ci/run` installs them; elsewhere the test is skipped if they are missing.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.system.live import HOST, Live

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]
HERE, ROOT = Path(__file__).parent, Path(__file__).parents[3]
DOCUMENT = ROOT / "docs" / "openapi.json"
TOOLS = Path(sys.executable).parent
CAME = {
    "feed": True,
    "event": True,
    "bio": "Mathematics.",
    "refused": "precondition_failed",
    "deposits": 1,
    "available": 500000,
}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server like the one that `make run` starts."""
    live = Live(tmp_path_factory.mktemp("clients"), "start").answering()
    yield f"http://{HOST}:{live.port}"
    live.close()


def test_a_generated_python_client_runs_the_first_session(address: str, tmp_path: Path) -> None:
    generate = ["generate", "--path", str(DOCUMENT), "--output-path", "client", "--fail-on-warning"]
    # The generator needs ruff in the path, to format its output.
    said = ran([str(TOOLS / "openapi-python-client"), *generate], tmp_path, PATH=f"{TOOLS}:{os.environ['PATH']}")
    assert said.strip() == "Generating client"
    came = ran([sys.executable, "-W", "error", str(HERE / "session.py"), address], tmp_path, PYTHONPATH="client")
    assert json.loads(came) == {"handle": "pia", **CAME}


def test_generated_typescript_types_run_the_first_session(address: str, tmp_path: Path) -> None:
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            missing(f"{tool} is missing: install the packages nodejs and npm")
    for name in ("package.json", "package-lock.json", "tsconfig.json", "session.ts"):
        shutil.copy(HERE / name, tmp_path)
    fetched = subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    if fetched.returncode:
        missing(f"npm cannot install the generator: {fetched.stderr}")
    binaries = tmp_path / "node_modules" / ".bin"
    said = ran([str(binaries / "openapi-typescript"), str(DOCUMENT), "--output", "api.d.ts"], tmp_path)
    assert "warn" not in said.lower()
    types = (tmp_path / "api.d.ts").read_text()
    for vague in (": any", "[key: string]: unknown"):
        assert vague not in types
    ran([str(binaries / "tsc"), "--project", "tsconfig.json"], tmp_path)
    assert json.loads(ran(["node", "built/session.js", address], tmp_path)) == {"handle": "tess", **CAME}


def ran(command: list[str], folder: Path, **variables: str) -> str:
    """Run a command; returns its output. It must succeed, and print nothing to stderr."""
    environment: dict[str, Any] = {**os.environ, **variables}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


def missing(what: str) -> NoReturn:
    """Skip the test; fail in CI, where everything is required."""
    if os.environ.get("CI"):
        pytest.fail(what, pytrace=False)
    pytest.skip(what)
