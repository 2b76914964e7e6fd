"""Pages of home feeds, kept as they were answered.

A kept page is answered only while everything in it is unchanged. Its cached parts, the top and the fragments, are
compared by the cache in the step that reads the page. The rest is checked before: no post of the feed is in flight, and
the reader state, which changes with every follow, block and like, is the one that the page was made under. Both are
read from the truth, or from kept values in one exchange with the page (`kept_states.py`).
"""

import math
import random
import time
from collections.abc import Callable
from uuid import UUID

import msgspec
from msgspec import Struct

from app.services.feeds import home_tops
from app.services.feeds.home_tops import Basis
from app.services.feeds.kept_states import Glance, KeptStates, keys_of
from app.services.feeds.page_context import PageContext
from app.services.feeds.page_windows import Window
from app.services.feeds.timelines import Timelines
from app.services.pages.kinds import Used
from app.services.pages.loading import is_due
from app.services.pages.whole_pages import LEAST_SECONDS, WholePage
from repositories.errors import Unavailable
from repositories.hot import Cache, Fill, Held, Value, lease_of, stored_under
from repositories.meter import cache_event
from repositories.read_your_writes import primary

# The longest time a page is kept: much longer than readers take to return. A part that is due ends it earlier.
FRESH_SECONDS = 900.0
Build = Callable[[PageContext, Used], WholePage]


class HomeFound(Struct, frozen=True):
    """`page` if a kept one may be answered, or else `look`, the truth that was read. A page that is made may be kept
    under `key`, unless it is None; `stamp` is that of the value stored there now.
    """

    window: Window
    look: PageContext | None
    page: WholePage | None = None
    key: str | None = None
    stamp: bytes = b""


class HomePages:
    """Keeps pages of home feeds, and never raises because of the cache. `signer` identifies the secret that signs the
    cursors in pages.
    """

    def __init__(self, timelines: Timelines, cache: Cache, signer: str, states: KeptStates | None) -> None:
        """`states` are given if the cache is much cheaper to ask than the truth."""
        self._timelines = timelines
        self._cache = cache
        self.states = states
        self._prefix = f"home-page@1{signer and '-'}{signer}:"

    def find(self, reader: UUID, window: Window) -> HomeFound:
        """Find the kept page, or read the truth to make it. Above a cursor only empty pages are kept, since those do
        not change with time.
        """
        key = f"{self._prefix}{reader}:{window.limit}:{_start(window)}"
        glance = Glance()
        if self.states and not window.hidden:
            kept, glance = self._find_by_states(self.states, reader, key)
            if kept is not None:
                return HomeFound(window, None, kept)
        begun = self.states.begin(glance) if self.states else None
        look = self._timelines.look(reader, window, anew=begun is not None and begun.is_of_all)
        if self.states:
            self.states.keep(reader, begun, look)
        if window.hidden or not look.is_quiet():
            return HomeFound(window, look)
        if glance.absent:
            return HomeFound(window, look, key=key)
        try:
            held = self._cache.whole(key, exact=True)
        except Unavailable:
            return HomeFound(window, look)
        kept = None if held is None else _kept(held, Basis.of(look.state))
        if kept is not None:
            cache_event("hit")
        return HomeFound(window, look, kept, key, held.stamp if held else b"")

    def make(self, reader: UUID, found: HomeFound, build: Build) -> WholePage:
        """Make the page with `build`, which records the fragments it uses, and keep it if possible."""
        used, began = Used(), time.monotonic()
        look = found.look or self._timelines.look(reader, found.window)
        with primary():
            page = build(look, used)
        if found.key is None or (found.window.upward and used.stamps != {}):
            return page
        used.note(home_tops.key(reader), look.only_top.stamp if look.only_top else None, math.inf)
        note = msgspec.msgpack.encode(Note(Basis.of(look.state), page.coded))
        value = Value(page.body, 0, page.etag, note, time.monotonic() - began)
        self._keep(found.key, found.stamp, used, value)
        return page

    def _find_by_states(self, states: KeptStates, reader: UUID, key: str) -> tuple[WholePage | None, Glance]:
        """The kept page, if the kept states allow it to be answered, and the result of that check. Without a page the
        states are not checked.
        """
        try:
            held, beside = self._cache.whole_beside(key, keys_of(reader), exact=True)
        except Unavailable:
            return None, Glance()
        if held is None:
            return None, Glance(absent=True)
        glance = states.glance(reader, beside)
        kept = _kept(held, glance.basis) if glance.basis else None
        if kept is not None:
            cache_event("hit")
        return kept, glance

    def _keep(self, key: str, seen: bytes, used: Used, value: Value) -> None:
        """The lease may be taken this late: each part has a stamp, and a page of changed parts is not stored."""
        fresh, stamps = min(FRESH_SECONDS, used.left), used.stamps
        if stamps is None or fresh < LEAST_SECONDS:
            return
        if lease := lease_of(self._cache, key, seen):
            stored_under(self._cache, key, Fill(lease, value, fresh, parts=stamps))


class Note(Struct, frozen=True, array_like=True):
    """The part of the reader state that a page was made under, and its body in the codings made so far."""

    basis: Basis
    coded: dict[str, bytes]


_NOTES = msgspec.msgpack.Decoder(Note)


def _start(window: Window) -> str:
    return f"+{window.after}" if window.after else str(window.before or "")


def _kept(held: Held, basis: Basis) -> WholePage | None:
    try:
        note = _NOTES.decode(held.value.note)
    except msgspec.MsgspecError:
        return None
    if note.basis != basis or is_due(held, random.random()):  # noqa: S311  no secret
        return None
    return WholePage(held.value.body or b"", held.value.etag, 0, coded=note.coded)
