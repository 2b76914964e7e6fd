"""Splits work into batches of bounded size, so that no statement, batch or transaction is too large."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of `size` items, in order; the last may be shorter. Like `itertools.batched` of Python 3.12."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some
