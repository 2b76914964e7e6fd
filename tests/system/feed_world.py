"""The system of the feed state machine: its relay can be ended at any call, and feeds are read without side effects."""

import json
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from app.container import Container, assemble
from app.http.whole_pages.public_hits import kept_list
from app.services.feeds.feed_activity import FeedActivity
from app.services.feeds.home_tops import HomeTops
from app.services.feeds.kept_states import KeptStates
from app.services.feeds.page_context import PageContext
from app.services.feeds.page_windows import Window
from app.services.feeds.timelines import Timelines
from app.services.pages.cards import Cards
from app.services.pages.home_pages import HomePages
from app.services.pages.kinds import Used
from app.services.pages.whole_pages import WholePage
from app.worker.relay import Relay
from app.worker.running import relay_of
from repositories.errors import Unavailable
from repositories.records.feeds import ReaderState
from tests.apps import PlainHasher
from tests.system.crowd import SteppedClock, watched
from tests.system.relay.runs import Crash


class RelayCrash:
    """Ends the relay at the n-th call after `set`."""

    def __init__(self) -> None:
        self._left: int | None = None

    def set(self, calls: int | None) -> None:
        self._left = calls

    def __call__(self, _point: str) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise Crash


class SettableSeconds:  # the clock by which delivery budgets are refilled
    now = 0.0

    def __call__(self) -> float:
        return self.now


class ReadWithoutWaking(FeedActivity):
    """Lets a feed be read without waking its reader."""

    def record_read(self, account_id: UUID, reader_state: ReaderState) -> None: ...


class World:
    """A system, a relay that can be ended at any call, and a way to read feeds without side effects."""

    def __init__(self, container: Container, clock: SteppedClock) -> None:
        self.clock, self.relay_crash, self.seconds = clock, RelayCrash(), SettableSeconds()
        self.is_cut_off = False  # whether the cache is unavailable, for the relay only
        self.container = container
        stores = container.stores
        fragile = replace(
            stores,
            relational=watched(stores.relational, self.relay_crash, "relational"),
            documents=watched(stores.documents, self.relay_crash, "documents"),
            feeds=watched(stores.feeds, self.relay_crash, "feeds"),
            cache=watched(stores.cache, self._cache_call, "cache"),
        )
        self._crashing = assemble(container.settings, fragile, clock, PlainHasher(), seconds=self.seconds)
        readers = ReadWithoutWaking(stores.relational, stores.feeds, container.kit, timedelta(days=30))
        retention = timedelta(days=container.settings.feeds_retention_days)
        truths = stores.relational, stores.documents, stores.feeds
        tops = HomeTops(*truths, stores.cache, container.settings.home_top_entries)
        self.unnoticed = Timelines(*truths, tops, readers, container.feeds.timeline_rebuild, clock, retention)
        pages = container.pages
        self.cards = Cards(pages.viewers, self.unnoticed, pages.through, pages.kinds, pages.handles)
        states = KeptStates(stores.relational, stores.cache, self.unnoticed, clock, steady=0)
        self.pages = HomePages(self.unnoticed, stores.cache, "", states)
        self.quick = 0

    def first_page(self, reader: UUID, limit: int) -> list[UUID]:
        """The first page, from the kept page if there is one."""
        window = Window(limit=limit)

        def build(look: PageContext, used: Used) -> WholePage:
            cards = self.cards.home(reader, window, look, used)
            return kept_list([b'"%s"' % str(one).encode() for one in cards.ids], None)

        found = self.pages.find(reader, window)
        self.quick += found.look is None
        page = found.page or self.pages.make(reader, found, build)
        return [UUID(one) for one in json.loads(page.body)["items"]]

    def relay(self) -> Relay:
        return relay_of(self._crashing)

    def dies(self, calls: int) -> None:
        """Let the relay work until it dies after this many calls; then advance the clock past the end of its leases."""
        self.relay_crash.set(calls)
        with suppress(Crash):
            relay = self.relay()
            relay.drain()
            self._sweep()
        self.relay_crash.set(None)
        self.clock.forward(self.container.settings.relay_lease_seconds + 1)

    def _cache_call(self, point: str) -> None:
        self.relay_crash(point)
        if self.is_cut_off:
            raise Unavailable("cache", "cut off")

    def sweeps(self) -> None:
        self.relay_crash.set(None)
        self._sweep()

    def _sweep(self) -> None:
        self._crashing.feeds.feed_activity.put_to_sleep(self.clock())
        self._crashing.feeds.pulling.return_batch(self.clock())
