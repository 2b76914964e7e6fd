"""The hottest public pages, stored whole beside the fragments they are made of.

A page is valid only while each of its fragments is stored unchanged since the page was made. Whoever drops or replaces
a fragment thereby invalidates the page. `look` checks this in the same round trip. The note of a stored page has its
compressed forms, so that a hit compresses nothing, and the places for what is a viewer's own (`viewers.py`).
"""

import contextlib
import hashlib
import random
import re
import time
from collections.abc import Callable, Sequence
from typing import Literal
from uuid import UUID

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from app.services.pages.compression import all_coded, coded
from app.services.pages.kinds import Used
from app.services.pages.loading import is_due
from repositories.errors import Unavailable
from repositories.hot import Cache, Fill, Held, Value, lease_of
from repositories.meter import cache_event
from repositories.read_your_writes import primary

FRESH_SECONDS = 60.0
# Of a page that no shared cache counts the age of.
OWN_SECONDS = 900.0
LEAST_SECONDS = 1.0
_SCHEMA = 3
_HOTTEST = 64
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_THING = re.compile(rf"/api/v1/(?:(?:posts|products)/{_UUID}|accounts/[A-Za-z0-9_]{{3,30}})")
_LIST = re.compile(r"/api/v1/(?:posts|products|tags|accounts/[A-Za-z0-9_]{3,30}/posts)")
LIMIT = re.compile(r"limit=([1-9][0-9]?|100)")
_HANDLES = "/api/v1/accounts/"


class Cut(Struct, frozen=True, array_like=True):
    """Where a page for everybody takes what is one viewer's own: the end of a card about a post or an account."""

    at: int
    about: UUID
    author: UUID | None = None


class WholePage(Struct, frozen=True):
    """`etag` is the header's value, with its quotes. `age_seconds` is counted from when the page was put together;
    it is due `fresh_seconds` after that, 0 for one that is not kept. A page made just now is a `miss`.
    `coded` are the compressed forms of `body`, by coding, as far as they are made. `cuts` are where it is not the same
    for everybody.
    """

    body: bytes
    etag: str
    version: int
    age_seconds: float = 0.0
    fresh_seconds: float = 0.0
    status: Literal["hit", "stale", "miss"] = "miss"
    coded: dict[str, bytes] = msgspec.field(default_factory=dict)
    cuts: tuple[Cut, ...] = ()

    def form(self, coding: str) -> bytes:
        """The body in a coding, "" for as it is."""
        if not coding:
            return self.body
        if coding not in self.coded:
            self.coded[coding] = coded(self.body, coding)
        return self.coded[coding]


class WholeNote(Struct, frozen=True, array_like=True):
    coded: dict[str, bytes]
    cuts: tuple[Cut, ...]


_NOTES = msgspec.msgpack.Decoder(WholeNote)
Build = Callable[[Used], WholePage]


def target(path: str, query_string: str) -> str | None:
    """The name of the page that this GET asks for, None where it is not one to be kept whole.

    The same page has one name, whatever the case of a handle and whether the default limit is spelt out.
    """
    if not query_string and _THING.fullmatch(path):
        return path.lower() if path.startswith(_HANDLES) else path
    if not _LIST.fullmatch(path):
        return None
    limit = LIMIT.fullmatch(query_string) if query_string else None
    if query_string and not limit:
        return None
    return f"{path.lower()}?limit={limit[1] if limit else 20}"


class WholePages:
    """Never fails for the cache's sake: a page that cannot be kept is made and answered all the same."""

    def __init__(self, cache: Cache, fresh: float = FRESH_SECONDS, signer: str = "") -> None:
        """`signer` stands for the secret that signs cursors: a page holds one, so it is kept for that secret only."""
        self._cache = cache
        self._prefix = f"page@{_SCHEMA}{signer and '-'}{signer}:"
        self._fresh = fresh
        # The hottest, for as long as the cache answers with the very same object.
        self._same: dict[str, tuple[Held, WholePage]] = {}

    def look(self, target: str) -> WholePage | None:
        """The page, when it is kept and not due. One round trip or none; loads nothing."""
        try:
            return self._looked(target, self._cache.whole(self._prefix + target))
        except Unavailable:
            return None

    def look_beside(self, target: str, keys: Sequence[str]) -> tuple[WholePage | None, list[Held | None]]:
        """As `look`, and what is stored of some keys, in the same round trip where it can be."""
        try:
            held, beside = self._cache.whole_beside(self._prefix + target, keys)
        except Unavailable:
            return None, []
        return self._looked(target, held), beside

    def keep(self, target: str, build: Build, *, shared: bool = True) -> WholePage:
        """Make the page, and keep it if nobody else is about to and nothing it is made of changes meanwhile.

        For who has looked and found nothing. Two round trips beside what `build` needs. Of a page that is not `shared`
        only the codings are kept that `build` has made, and it is kept for as long as it is valid.
        """
        key, used = self._prefix + target, Used()
        # Whoever else has the lease makes the page; this one is answered as it is made.
        lease = lease_of(self._cache, key)
        began = time.monotonic()
        try:
            with primary():
                page = build(used)
            cost = time.monotonic() - began
        except BaseException:
            self._release(key, lease)
            raise
        return self._stored(key, lease, page, used, cost, shared=shared)

    def _looked(self, target: str, held: Held | None) -> WholePage | None:
        kept = None if held is None else self._seen(target, held)
        if kept is not None:
            cache_event("hit")
        return kept

    def _seen(self, target: str, held: Held) -> WholePage | None:
        """None for a page that is due. The lot is drawn once for each answer of the store."""
        same = self._same.get(target)
        if same is not None and same[0] is held:
            return same[1]
        if is_due(held, random.random()):  # noqa: S311  no secret
            return None
        if len(self._same) >= _HOTTEST:
            self._same.clear()
        if kept := _kept(held):
            self._same[target] = held, kept
        return kept

    def _stored(
        self, key: str, lease: bytes | None, page: WholePage, used: Used, cost: float, *, shared: bool
    ) -> WholePage:
        fresh, stamps = min(self._fresh if shared else OWN_SECONDS, used.left), used.stamps
        if lease is None or stamps is None or fresh < LEAST_SECONDS:
            self._release(key, lease)
            return page
        if shared:
            page = replace(page, coded=all_coded(page.body))
        value = Value(
            page.body, page.version, page.etag, note=msgspec.msgpack.encode(WholeNote(page.coded, page.cuts)), cost=cost
        )
        try:
            stored = self._cache.fill({key: Fill(lease, value, fresh, parts=stamps)})
        except Unavailable:
            return page
        if not stored:
            cache_event("refused")
            return page
        return replace(page, fresh_seconds=fresh)

    def _release(self, key: str, lease: bytes | None) -> None:
        if lease is not None:
            with contextlib.suppress(Unavailable):
                self._cache.release({key: lease})


def tag_of(body: bytes, version: int | None = None) -> str:
    """The strong entity tag of a representation; with the version of the thing it shows, where it shows one."""
    digest = hashlib.blake2b(body, digest_size=8).hexdigest()
    return f'"{digest}"' if version is None else f'"{version}-{digest}"'


def unversioned(body: bytes) -> WholePage:
    """Of what has no version, with a tag over all of it."""
    return WholePage(body, tag_of(body), 0)


def _kept(held: Held) -> WholePage | None:
    value = held.value
    try:
        note = _NOTES.decode(value.note)
    except msgspec.MsgspecError:
        return None
    times = held.age, held.age + held.left
    return WholePage(value.body or b"", value.etag, value.version, *times, "hit", note.coded, note.cuts)
