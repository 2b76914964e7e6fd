"""Ways to call routes: where `drives.py` puts them."""

from collections.abc import Callable

from tests.http.world import Call, World

Route = tuple[str, str]
Drive = Callable[[World, int], Call]
DRIVES: dict[Route, Drive] = {}
# Other ways that a route may go, whose costs are within the same budget.
FURTHER: list[tuple[Route, Drive]] = []


def drive(method: str, rule: str) -> Callable[[Drive], Drive]:
    def remember(made: Drive) -> Drive:
        DRIVES[method, rule] = made
        return made

    return remember


def simple(method: str, rule: str, prepare: Drive) -> None:
    DRIVES[method, rule] = prepare
