"""Writes the matrix as a table into `docs/outages.md`, between two marks."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.apps import ROLES
from tests.http.drives import DRIVES, Route
from tests.system.outages.matrix import TROUBLES, Cell, Trouble

PAGE = Path(__file__).parents[3] / "docs" / "outages.md"
USUAL, NONE = "store_unavailable", "-"
RULE = "|---" * (len(ROLES) + 1) + "|"
Matrix = Mapping[tuple[str, Trouble], Sequence[Cell]]


def written(page: str, name: str, text: str) -> str:
    """The page, with this text between the marks of this name."""
    begin, end = (f"<!-- {name}: {word} -->" for word in ("written by a run", "end"))
    before, _, rest = page.partition(begin)
    return f"{before}{begin}\n\n{text}\n\n{end}{rest.partition(end)[2]}"


def new_routes(page: str) -> list[Route]:
    """The routes that have no row on the page."""
    known = {route for *_, route in documented(page)}
    return [route for route in DRIVES if named(route) not in known]


def rendered(matrix: Matrix, page: str) -> str:
    """The table. Cells and existing routes that are missing in the matrix are taken from the page."""
    slow = slowest(page)
    for at, cells in matrix.items():
        seconds = max(cell.seconds for cell in cells)
        of_others = 0.0 if len(cells) == len(DRIVES) else float(slow.get(at, 0))
        slow[at] = f"{max(seconds, of_others):.2f}"
    found = {at: said for at, said in documented(page).items() if at[2] in {named(route) for route in DRIVES}}
    found |= {(*at, named(cell.route)): outcome(cell) for at, cells in matrix.items() for cell in cells}
    rows = [f"| slowest answer, seconds | {' | '.join(ROLES)} |", RULE]
    rows += [f"| {one} | {' | '.join(slow.get((role, one), NONE) for role in ROLES)} |" for one in TROUBLES]
    rows += ["", f"| route | {' | '.join(ROLES)} |", RULE]
    routes = sorted({route for *_, route in found}, key=lambda route: route.split()[::-1])
    rows += [f"| `{route}` | {' | '.join(outcomes(found, role, route) for role in ROLES)} |" for route in routes]
    return "\n".join(rows)


def named(route: Route) -> str:
    """The name of a route in the OpenAPI document."""
    path = re.sub(r"<(?:[a-z]+:)?([a-z_]+)>", r"{\1}", route[1])
    return f"{route[0]} {path}"


def outcomes(found: Mapping[tuple[str, Trouble, str], str], role: str, route: str) -> str:
    """The outcomes in the order of the faults; a single one if all are equal."""
    said = [found.get((role, trouble, route), NONE) for trouble in TROUBLES]
    return said[0] if len({*said} - {NONE}) == 1 else " ".join(said)


def outcome(cell: Cell) -> str:
    return str(cell.status) if cell.code in {"", USUAL} else f"{cell.status} ({cell.code})"


def slowest(page: str) -> dict[tuple[str, Trouble], str]:
    """The slowest answers on the page, by store and fault."""
    found: dict[tuple[str, Trouble], str] = {}
    for trouble in TROUBLES:
        row = re.search(rf"^\| {trouble}((?: \| (?:[\d.]+|-))+) \|$", page, re.MULTILINE)
        cells = row[1].split(" | ")[1:] if row else []
        found |= {(role, trouble): said for role, said in zip(ROLES, cells, strict=False)}
    return found


def documented(page: str) -> dict[tuple[str, Trouble, str], str]:
    """The outcomes on the page, by store, fault and route."""
    found: dict[tuple[str, Trouble, str], str] = {}
    row = r"^\| `([A-Z]+ [^`]+)`" + r" \| ([^|]+)" * len(ROLES) + r" \|$"
    for route, *cells in re.findall(row, page, re.MULTILINE):
        for role, cell in zip(ROLES, cells, strict=True):
            said = re.findall(r"\d+(?: \([a-z_]+\))?|-", cell)
            for trouble, one in zip(TROUBLES, said * len(TROUBLES) if len(said) == 1 else said, strict=True):
                if one != NONE and (role, trouble) != ("feeds", "read-only"):
                    found[role, trouble, route] = one
    return found
