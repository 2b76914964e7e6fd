"""Reads one page of a timeline from several partitions."""

import itertools
from collections.abc import Iterator
from uuid import UUID

from repositories.feeds.cassandra.link import Call, Link, Row
from repositories.feeds.id_time import below, micros
from repositories.feeds.layout import TimelineKind
from repositories.feeds.retention import Clock

# The most buckets that one page queries concurrently.
MAX_CONCURRENT = 16


class Pages:
    def __init__(self, link: Link, kind: TimelineKind, clock: Clock) -> None:
        self._link = link
        self._kind = kind
        self._clock = clock

    def page(self, key: UUID, low: UUID, high: UUID, *, ascending: bool, limit: int) -> list[Row]:
        """Query the list of buckets and the first bucket concurrently, then more buckets, twice as many each round."""
        if limit < 1:
            return []
        deadline = self._link.deadline()
        begin = self._kind.bucket(low if ascending else min(high, below(micros(self._clock()) // 1000)))
        query = f"{self._kind.name}_{'ascending' if ascending else 'descending'}"
        first = (query, (key, begin, low, high, limit))
        marked, rows = self._link.read([self._marked(key, low, high), first], deadline)
        found = {begin: rows}
        order = sorted({begin, *(bucket for (bucket,) in marked)}, reverse=not ascending)
        for count in _rounds():
            ready = list(itertools.takewhile(found.__contains__, order))
            page = [row for bucket in ready for row in found[bucket]]
            if len(page) >= limit or len(ready) == len(order):
                return page[:limit]
            wanted = order[len(ready) : len(ready) + count]
            calls = [(query, (key, bucket, low, high, limit)) for bucket in wanted]
            found.update(zip(wanted, self._link.read(calls, deadline), strict=True))
        raise AssertionError("rounds do not end")

    def newest(self, key: UUID, low: UUID, high: UUID, *, limit: int) -> list[Row]:
        """Like `page` in descending order, in two reads: the list of buckets, then up to `MAX_CONCURRENT` of them.

        If entries are very sparse it takes more. Ids are returned as bytes.
        """
        if limit < 1:
            return []
        deadline, page = self._link.deadline(), list[Row]()
        [marked] = self._link.read([self._marked(key, low, high)], deadline)
        order = sorted((bucket for (bucket,) in marked), reverse=True)
        while order and len(page) < limit:
            wanted, order = order[:MAX_CONCURRENT], order[MAX_CONCURRENT:]
            [rows] = self._link.read(
                [(f"{self._kind.name}_together", (key, wanted, low, high, limit, limit))], deadline
            )
            page += rows
        return page[:limit]

    def marked(self, key: UUID, low: UUID, high: UUID) -> list[int]:
        """The buckets that are marked as not empty, newest first."""
        (rows,) = self._link.read([self._marked(key, low, high)], self._link.deadline())
        return [bucket for (bucket,) in rows]

    def _marked(self, key: UUID, low: UUID, high: UUID) -> Call:
        return f"{self._kind.name}_buckets", (key, self._kind.bucket(low), self._kind.bucket(high))


def _rounds() -> Iterator[int]:
    count = 2
    while True:
        yield count
        count = min(2 * count, MAX_CONCURRENT)
