"""The registry of the functions in `drives.py`."""

from collections.abc import Callable

from tests.http.world import Call, World

Route = tuple[str, str]
Drive = Callable[[World, int], Call]
DRIVES: dict[Route, Drive] = {}
# Further cases of routes, which must stay within the same budget.
FURTHER: list[tuple[Route, Drive]] = []


def drive(method: str, rule: str) -> Callable[[Drive], Drive]:
    def remember(made: Drive) -> Drive:
        DRIVES[method, rule] = made
        return made

    return remember


def simple(method: str, rule: str, prepare: Drive) -> None:
    DRIVES[method, rule] = prepare
