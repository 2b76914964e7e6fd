"""Translates a driver's errors into those of the ports."""

from collections.abc import Callable

from repositories.errors import Contention, StoreError


class Translation:
    """A context manager around driver calls: errors of these kinds are raised as what `translate` returns.

    It has no state, so one instance serves all calls. A generator-based one would cost twice as much.
    """

    def __init__(self, kinds: tuple[type[Exception], ...], translate: Callable[[Exception], StoreError]) -> None:
        self._kinds = kinds
        self._translate = translate

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _at: object) -> None:
        if isinstance(error, self._kinds):
            raise self._translate(error) from error


class Undone(Contention):
    """The statement changed nothing and its transaction has ended; the whole transaction may be sent again at once."""


class Outdated(Undone):
    """The statement was not run: it was prepared before the tables changed, or the server has become read-only.

    Its connection is discarded.
    """
