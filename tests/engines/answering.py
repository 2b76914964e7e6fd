"""Whether a store answers, for tests that make it unavailable."""

from collections.abc import Callable

from repositories.errors import Unavailable


def works(call: Callable[[], object]) -> bool:
    try:
        call()
    except Unavailable:
        return False
    return True
