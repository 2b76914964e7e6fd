"""From the errors of a driver to those of the ports."""

from collections.abc import Callable

from repositories.errors import Contention, StoreError


class Translation:
    """Surrounds calls of the driver: raises what `translate` makes of errors of these kinds.

    Has no state, so one serves all. A generator would cost twice as much.
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
    """The statement has changed nothing, and the transaction that it is in is over: all may be sent again at once."""


class Outdated(Undone):
    """The statement was prepared before the tables changed, or the server has become read-only. It was not run, and its
    connection is gone.
    """
