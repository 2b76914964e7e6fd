"""A reader's app: opens the feed, pages down, and pages up to newer posts."""

import random
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any, TypeVar
from uuid import UUID

from flask import Flask
from msgspec import Struct

from app.container import Container
from tests.apps import BASE

T = TypeVar("T")
LIMITS = (20, 50, 100)


class Refused(Exception):
    """The API answered that a store is unavailable, so this read shows nothing."""


class Shown(Struct, frozen=True):
    """A page: its posts in order, and its two cursors."""

    posts: list[UUID]
    next: str | None
    prev: str | None


class Screen:
    """One reader. Thread-safe: its methods exclude one another.

    `seen` is everything that paging upward has shown, from the first page on, which was complete at `started`.
    """

    def __init__(self, app: Flask, reader: UUID, token: str, chance: random.Random, times: list[float]) -> None:
        self.reader = reader
        self.seen: list[UUID] = []
        self.first: frozenset[UUID] = frozenset()
        self.started: float | None = None
        self._client = app.test_client()
        self._headers = {"Authorization": f"Bearer {token}"}
        self._chance = chance
        self._times = times
        self._place: str | None = None
        self._guard = threading.RLock()

    def open(self) -> None:
        """Read the first page, from which to page upward. Does nothing while it has no upward cursor."""
        with self._guard:
            page = self._page(limit=100)
            if self.started is None and page.prev is not None:
                self.seen, self.first, self._place = list(page.posts), frozenset(page.posts), page.prev
                self.started = monotonic()

    def climb(self) -> set[UUID]:
        """Page upward from the reader's position to the top. Returns all posts seen so far."""
        with self._guard:
            while True:
                page = self._page(limit=self._chance.choice(LIMITS), after=self._place)
                self.seen += page.posts
                self._place = page.next or page.prev
                if page.next is None:
                    return set(self.seen)

    def down_to(self, post: UUID) -> list[UUID]:
        """Page downward from the top to where this post should be."""
        with self._guard:
            found, cursor = list[UUID](), dict[str, str]()
            while True:
                page = self._page(limit=100, **cursor)
                found += page.posts
                if page.next is None or (found and found[-1] <= post):
                    return found
                cursor = {"cursor": page.next}

    def _page(self, **query: Any) -> Shown:
        began = monotonic()
        response = self._client.get(f"{BASE}/feed", query_string=query, headers=self._headers)
        self._times.append(monotonic() - began)
        if response.status_code == 503:
            raise Refused(response.get_data(as_text=True))
        assert response.status_code == 200, response.get_data(as_text=True)
        body = response.get_json()
        return Shown([UUID(item["post"]["id"]) for item in body["items"]], body["next"], body["prev"])


def screens(
    container: Container, app: Flask, readers: list[UUID], chance: random.Random, times: list[float]
) -> dict[UUID, Screen]:
    """Signed-in readers. They append the duration of every page, in seconds, to `times`."""
    accounts = container.stores.relational.accounts.get(readers)
    sessions = container.people.sessions
    names = {reader: accounts[reader].handle for reader in readers}
    tokens = {reader: sessions.sign_in(sessions.known(name), name, None).token for reader, name in names.items()}
    return {r: Screen(app, r, tokens[r], chance, times) for r in readers}


def persistently(act: Callable[[], T], stop: threading.Event) -> T | None:
    """Repeat `act` while stores are unavailable. None if it is stopped before it succeeds."""
    while not stop.is_set():
        try:
            return act()
        except Refused:
            stop.wait(0.05)
    return None
