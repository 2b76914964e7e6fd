"""A part of a panel that a store does not answer for: the page says so there, and shows the rest."""

from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct

from repositories.errors import Invalid, StoreError

T = TypeVar("T")


class Away(Struct, frozen=True):
    """In place of what a store was asked for."""

    why: str


def asked(question: Callable[[], T]) -> T | Away:
    """The answer, or why there is none. Raises `Invalid`, which is no store that is away."""
    try:
        return question()
    except Invalid:
        raise
    except StoreError as error:
        return Away(str(error))
