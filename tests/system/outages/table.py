"""The matrix as a table in `docs/outages.md`, between two marks."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.apps import ROLES
from tests.system.outages.matrix import TROUBLES, Cell, Trouble

PAGE = Path(__file__).parents[3] / "docs" / "outages.md"
USUAL = "store_unavailable"
Matrix = Mapping[tuple[str, Trouble], Sequence[Cell]]


def written(page: str, name: str, text: str) -> str:
    """The page with this text between the marks of this name."""
    begin, end = (f"<!-- {name}: {word} -->" for word in ("written by a run", "end"))
    before, _, rest = page.partition(begin)
    return f"{before}{begin}\n\n{text}\n\n{end}{rest.partition(end)[2]}"


def rendered(matrix: Matrix) -> str:
    found = {(*at, named(cell)): cell for at, cells in matrix.items() for cell in cells}
    routes = sorted({route for *_, route in found}, key=lambda route: route.split()[::-1])
    lines = ["| slowest answer, seconds |", *(f" {role} |" for role in ROLES)]
    rows = ["".join(lines), "|---" * (len(ROLES) + 1) + "|"]
    for trouble in TROUBLES:
        cells = (matrix.get((role, trouble), ()) for role in ROLES)
        rows.append(f"| {trouble} | {' | '.join(slowest(some) for some in cells)} |")
    rows += ["", f"| route | {' | '.join(ROLES)} |", "|---" * (len(ROLES) + 1) + "|"]
    for route in routes:
        rows.append(f"| `{route}` | {' | '.join(outcomes(found, role, route) for role in ROLES)} |")
    return "\n".join(rows)


def named(cell: Cell) -> str:
    """As the OpenAPI document names it."""
    path = re.sub(r"<(?:[a-z]+:)?([a-z_]+)>", r"{\1}", cell.route[1])
    return f"{cell.route[0]} {path}"


def slowest(cells: Sequence[Cell]) -> str:
    return f"{max(cell.seconds for cell in cells):.2f}" if cells else "-"


def outcomes(found: Mapping[tuple[str, Trouble, str], Cell], role: str, route: str) -> str:
    """In the order of the faults; one where all are the same."""
    cells = [found.get((role, trouble, route)) for trouble in TROUBLES]
    said = [outcome(cell) for cell in cells]
    return said[0] if len({one for one in said if one != "-"}) == 1 else " ".join(said)


def outcome(cell: Cell | None) -> str:
    if cell is None:
        return "-"
    return str(cell.status) if cell.code in {"", USUAL} else f"{cell.status} ({cell.code})"


def documented(page: str) -> dict[tuple[str, Trouble, str], str]:
    """What the table says, by store, fault and route."""
    found: dict[tuple[str, Trouble, str], str] = {}
    row = r"^\| `([A-Z]+ [^`]+)`" + r" \| ([^|]+)" * len(ROLES) + r" \|$"
    for route, *cells in re.findall(row, page, re.MULTILINE):
        for role, cell in zip(ROLES, cells, strict=True):
            said = re.findall(r"\d+(?: \([a-z_]+\))?|-", cell)
            for trouble, one in zip(TROUBLES, said * len(TROUBLES) if len(said) == 1 else said, strict=False):
                found[role, trouble, route] = one
    return found
