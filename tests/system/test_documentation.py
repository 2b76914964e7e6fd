"""The documentation matches the code: its picture, its links and its index."""

import ast
import importlib.util
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "bench" / "README.md", *sorted(DOCS.rglob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def picture() -> dict[str, Any]:
    return tomllib.loads((DOCS / "architecture.toml").read_text())


def test_the_picture_is_drawn_from_its_source(picture: dict[str, Any]) -> None:
    spec = importlib.util.spec_from_file_location("architecture", DOCS / "architecture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (DOCS / "architecture.svg").read_text() == module.draw(picture), "run: make picture"


def test_the_picture_shows_the_existing_folders(picture: dict[str, Any]) -> None:
    for layer in picture["layer"]:
        folders = {path.parent.name for path in (ROOT / layer["path"]).glob("*/__init__.py")}
        assert set(layer["parts"]) == folders, layer["path"]
    roles = {path.parent.name for path in (ROOT / picture["ports"]["path"]).glob("*/port.py")}
    # Without the sinks, which are part of the worker, and the search, which is an external service.
    assert {store["role"] for store in picture["store"]} == roles - {"sinks", "search"}
    worker = picture["worker"]
    assert all(any((ROOT / worker["path"]).glob(f"{part}*")) for part in worker["parts"])


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """The targets of a page's relative links: the file, and the heading in it."""
    for target in LINK.findall(page.read_text()):
        if "://" not in target and not target.startswith("mailto:"):
            path, _, anchor = unquote(target).partition("#")
            yield (page.parent / path).resolve() if path else page, anchor


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_link_targets_and_anchors_exist(page: Path) -> None:
    for target, anchor in links(page):
        assert target.exists(), target
        assert not anchor or anchor in anchors(target), f"{target}#{anchor}"


NAMED = re.compile(r"`((?:app|repositories|config|tests)/[\w/]+\.py)(?::([\w.]+))?`")


def test_functions_named_in_the_documentation_exist() -> None:
    missing = [
        f"{page.name}: {path}:{name}"
        for page in PAGES
        for path, name in NAMED.findall(page.read_text())
        if "ROLE" not in path  # a placeholder for a role's name
        if not (ROOT / path).exists() or (name and not is_defined(ROOT / path, name))
    ]
    assert missing == []


def is_defined(module: Path, name: str) -> bool:
    """Whether a module defines this function, class or method (`Class.method`)."""
    body: list[ast.stmt] = ast.parse(module.read_text()).body
    for part in name.split("."):
        found = [one for one in body if isinstance(one, ast.FunctionDef | ast.ClassDef) and one.name == part]
        if not found:
            return False
        body = found[0].body
    return True


def test_the_glossary_is_sorted_and_its_paths_exist() -> None:
    rows = re.findall(r"^\| (?!term|---)(.+?) \| .+ \| (.+) \|$", (DOCS / "glossary.md").read_text(), re.MULTILINE)
    terms = [term.casefold() for term, _ in rows]
    assert terms == sorted(set(terms))
    for term, where in rows:
        paths = re.findall(r"`([^`]+)`", where)
        assert paths, term
        assert all(list(ROOT.glob(path)) for path in paths), f"{term}: {where}"


def test_the_index_names_every_page() -> None:
    named = {target for target, _ in links(DOCS / "README.md")}
    assert set(DOCS.rglob("*.md")) - {DOCS / "README.md"} - named == set()


def test_decisions_are_numbered_without_gaps() -> None:
    pages = sorted((DOCS / "decisions").glob("*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        assert page.read_text().startswith(f"# {int(page.name[:4])}. "), page.name
