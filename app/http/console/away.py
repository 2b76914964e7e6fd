"""Placeholder for a part of a panel whose store does not answer: the page shows the reason there, and the rest."""

from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct

from repositories.errors import Invalid, StoreError

T = TypeVar("T")


class Away(Struct, frozen=True):
    """Stands in place of a store's answer; `why` is the store's error."""

    why: str


def asked(question: Callable[[], T]) -> T | Away:
    """The result of `question`, or `Away` if the store fails. Raises `Invalid`, which means a bad argument."""
    try:
        return question()
    except Invalid:
        raise
    except StoreError as error:
        return Away(str(error))
