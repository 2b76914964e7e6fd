"""`docs/extending.md` is correct: its blocks make a resource and an adapter that pass the tests of all others."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.live
ROOT = Path(__file__).parents[2]
PLACE = r"(?:, (at the end|(after|before|instead of): ([^\n]*)))?"
BLOCK = re.compile(rf"^```python\n# ([\w/.]+){PLACE}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COPIED = ("app", "repositories", "config", "tests", "docs", "deploy", "examples", "requirements")
FILES = ("pyproject.toml", "README.md", "LICENSE", "Makefile")
CHECKED = (
    "tests/contracts/documents/test_reports.py",
    "tests/contracts/hot/test_limits.py",
    "tests/http/test_reports.py",
    "tests/http/test_document.py",
    "tests/system/test_guards.py",
    "tests/system/plans/test_embedded_plans.py",
)
LONG = 250
BIN = Path(sys.executable).parent


BUDGETS = ("tests/http/test_budgets.py", "-k", "embedded and (report or declares or driven)")


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source tree with everything that the page adds."""
    tree = tmp_path_factory.mktemp("extended")
    for name in COPIED:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, tree / name)
    for path, place, how, line, text in BLOCK.findall((ROOT / "docs" / "extending.md").read_text()):
        added(tree / path, place, how, line, text)
    document = python(tree, "-c", "from app.cli import main; main()", "openapi")
    (tree / "docs" / "openapi.json").write_text(document.stdout)
    return tree


def added(file: Path, place: str, how: str, line: str, text: str) -> None:
    if not place:
        assert not file.exists(), f"{file} exists already"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    elif not how:
        file.write_text(file.read_text() + text)
    else:
        lines = file.read_text().splitlines(keepends=True)
        found = [n for n, one in enumerate(lines) if one.strip().startswith(line)]
        assert found, f"{file} has no line {line!r}"
        at, *more = [n for n in found if indent(lines[n]) == indent(text.lstrip("\n"))] if len(found) > 1 else found
        assert not more, f"{file} has several lines {line!r}"
        lines[at] = {"after": lines[at] + text, "before": text + lines[at], "instead of": text}[how]
        file.write_text("".join(lines))


def indent(text: str) -> int:
    return len(text) - len(text.lstrip(" "))


def python(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the code of the copy instead of this tree."""
    return command(tree, sys.executable, *arguments)


def command(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments,
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )


def test_every_block_is_applied() -> None:
    page = (ROOT / "docs" / "extending.md").read_text()
    assert len(BLOCK.findall(page)) == page.count("```python\n")


@pytest.mark.parametrize("tests", [CHECKED, BUDGETS], ids=["suites", "budgets"])
def test_the_new_resource_passes_the_tests_of_all_others(extended: Path, tests: tuple[str, ...]) -> None:
    done = python(extended, "-m", "pytest", "-n", "0", "-x", "-m", "not engines", *tests)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.engines
def test_the_new_resource_keeps_its_contract_on_the_engines(extended: Path) -> None:
    done = python(extended, "-m", "pytest", "-n", "0", "-m", "engines", CHECKED[0])
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_new_resource_passes_the_linters(extended: Path) -> None:
    for arguments in (("ruff", "check"), ("ruff", "format", "--check"), ("lint-imports",)):
        done = command(extended, str(BIN / arguments[0]), *arguments[1:])
        assert done.returncode == 0, done.stdout + done.stderr
