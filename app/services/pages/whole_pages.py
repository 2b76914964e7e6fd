"""The hottest public pages, stored whole beside the fragments they are made of.

A page is valid only while each of its fragments is stored unchanged since the page was made: dropping or replacing a
fragment invalidates the page. `look` checks this in the same round trip. The note of a stored page has its compressed
forms, so that a hit compresses nothing, and the positions of a viewer's own parts (`viewers.py`).
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
# For a page that shared caches do not store, so that its age does not matter.
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
    """A position in a public page where a viewer's own part is inserted: the end of a card of a post or an account."""

    at: int
    about: UUID
    author: UUID | None = None


class WholePage(Struct, frozen=True):
    """`etag` is the header's value, with its quotes. `age_seconds` is the time since the page was made; the page is due
    `fresh_seconds` after it was made (0: it is not kept). A page made just now is a `miss`. `coded` are the compressed
    forms of `body` made so far, by coding. `cuts` are the positions of a viewer's own parts.
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
        """The body in a coding; "" is the uncompressed body."""
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
    """The name of the page that this GET asks for, or None if it is not a page that is kept whole.

    A page has one name, whatever the case of a handle and whether or not the default limit is given explicitly.
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
    """Keeps whole pages. Never raises because of the cache: a page that cannot be kept is still made and answered."""

    def __init__(self, cache: Cache, fresh: float = FRESH_SECONDS, signer: str = "") -> None:
        """`signer` identifies the secret that signs cursors. Pages hold cursors, so they are kept for that secret only.

        `fresh` is in seconds.
        """
        self._cache = cache
        self._prefix = f"page@{_SCHEMA}{signer and '-'}{signer}:"
        self._fresh = fresh
        # The hottest pages, decoded; each is used while the cache returns the identical object.
        self._decoded: dict[str, tuple[Held, WholePage]] = {}

    def look(self, target: str) -> WholePage | None:
        """The page, if it is kept and not due. One round trip or none; loads nothing."""
        try:
            return self._hit(target, self._cache.whole(self._prefix + target))
        except Unavailable:
            return None

    def look_beside(self, target: str, keys: Sequence[str]) -> tuple[WholePage | None, list[Held | None]]:
        """`look`, and the stored values of some keys, in the same round trip if possible."""
        try:
            held, beside = self._cache.whole_beside(self._prefix + target, keys)
        except Unavailable:
            return None, []
        return self._hit(target, held), beside

    def keep(self, target: str, build: Build, *, shared: bool = True) -> WholePage:
        """Make the page, and keep it if nobody else is making it and none of its fragments changes meanwhile.

        To be called after `look` has found nothing. Two round trips besides those of `build`. A page that is not
        `shared` is kept in the codings that `build` has made only, and for up to `OWN_SECONDS`.
        """
        key, used = self._prefix + target, Used()
        # If another request has the lease, that one keeps its page; this one is answered but not kept.
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

    def _hit(self, target: str, held: Held | None) -> WholePage | None:
        kept = None if held is None else self._decode(target, held)
        if kept is not None:
            cache_event("hit")
        return kept

    def _decode(self, target: str, held: Held) -> WholePage | None:
        """The decoded page, None if it is due. The random draw is made once for each object that the cache returns."""
        same = self._decoded.get(target)
        if same is not None and same[0] is held:
            return same[1]
        if is_due(held, random.random()):  # noqa: S311  no secret
            return None
        if len(self._decoded) >= _HOTTEST:
            self._decoded.clear()
        if kept := _kept(held):
            self._decoded[target] = held, kept
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
    """The strong entity tag of a representation, with the version of the thing it shows, if it has one."""
    digest = hashlib.blake2b(body, digest_size=8).hexdigest()
    return f'"{digest}"' if version is None else f'"{version}-{digest}"'


def unversioned(body: bytes) -> WholePage:
    """A page of something without a version: its tag is a digest of the body alone."""
    return WholePage(body, tag_of(body), 0)


def _kept(held: Held) -> WholePage | None:
    value = held.value
    try:
        note = _NOTES.decode(value.note)
    except msgspec.MsgspecError:
        return None
    times = held.age, held.age + held.left
    return WholePage(value.body or b"", value.etag, value.version, *times, "hit", note.coded, note.cuts)
