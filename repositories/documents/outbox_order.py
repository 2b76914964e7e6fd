"""Outbox order: which waiting events of which documents may be claimed. All adapters use it."""

from collections.abc import Iterable, Sequence
from itertools import accumulate, takewhile
from operator import itemgetter
from typing import Any

from msgspec import Struct

from repositories.records.events import Event


class Waiting(Struct, frozen=True):
    """An event that is neither acknowledged nor dead-lettered. `document` is the adapter's key for the document;
    `due` and `leased_until` are microseconds since 1970.
    """

    document: Any
    event: Event
    attempts: int
    due: int
    leased_until: int | None


def in_outbox_order(documents: Iterable[Sequence[Waiting]], *, now: int, limit: int) -> list[Waiting]:
    """The first `limit` events that may be claimed, oldest due first, each after all earlier waiting events of its
    document. `documents` holds the waiting events of each document, in the order in which they were written.
    """
    found: list[tuple[int, Waiting]] = []
    for events in sorted(documents, key=_age):
        going = list(takewhile(lambda waiting: _free(waiting, now), events))
        found += zip(accumulate((waiting.due for waiting in going), max), going, strict=True)
    found.sort(key=itemgetter(0))
    return [waiting for _, waiting in found[:limit]]


def _age(events: Sequence[Waiting]) -> str:
    return events[0].event.id.hex if events else ""


def _free(waiting: Waiting, now: int) -> bool:
    return waiting.due <= now and (waiting.leased_until is None or waiting.leased_until <= now)
