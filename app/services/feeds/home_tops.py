"""The cached top of each home feed: the newest posts of readers who are awake, as ids.

A fan-out adds a post to the tops right after writing it to the feed store, which remains the timeline. A missing top is
filled from the feed store, and below the low watermark from the documents: with only what the page reads if it is a
first page, and with up to `entries` once the reader pages on. Why a top is never wrong (decision 21):

- Pushed posts. A post is added to the tops before its event is acknowledged; until then it is in flight, and posts in
  flight are read first. A fill that began before the post was added is refused, like every fill that a write overtook.
  If the cache cannot be written, the counter `lost` in the relational store is raised before the acknowledgement.
- Everything else. A follow, unfollow, block, back-fill or rebuild changes the reader state in its own transaction. A
  top is stored with the state it was filled under, and is used only under that state.

So a page compares the top with what it has read from the truth. A cache that was flushed, was unavailable, or holds old
values makes the page slower, not wrong.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple, Self
from uuid import UUID

import msgspec
from msgspec import Struct

from app.services.feeds.page_likes import Likes
from app.services.feeds.page_windows import Segment, Window, segment_of
from repositories.documents import DocumentStore
from repositories.errors import Unavailable
from repositories.feeds import FeedStore
from repositories.hot import Cache, Fill, Held, Value, lease_of, stored_under
from repositories.records.content import PostRef
from repositories.records.feeds import ReaderState
from repositories.relational import RelationalStore

# Entries that are added to a top at most before it is filled anew.
ADDED = 160
FRESH_SECONDS = 3600.0
ENTRY, ID = 32, 16
# Decoded entries that a process keeps, at half a kilobyte each.
REMEMBERED = 8192
# The default for tops stored before `asked` existed: they were filled with all entries. No fill asks for as many.
MANY = 1 << 31


class Basis(Struct, frozen=True, array_like=True):
    """The members of a reader state on which everything cached of a feed depends."""

    generation: int
    revision: int
    lost: int
    low_watermark: UUID | None

    @classmethod
    def of(cls, state: ReaderState) -> Self:
        return cls(state.generation, state.revision, state.lost, state.low_watermark)


class TopNote(Struct, frozen=True, array_like=True):
    """The state under which a top was filled, and the number of entries that were `asked` for at most. The top is
    complete down to `end`; None means that it is the whole timeline.
    """

    basis: Basis
    end: UUID | None
    asked: int = MANY

    def covers(self, part: Window, most: int) -> bool:
        """Whether this top is enough for `part`, so that it need not be filled again with `most` entries."""
        if self.end is None or self.asked >= most:
            return True
        if part.start is None:
            return part.limit <= self.asked
        return part.upward and part.start > self.end


class Top(NamedTuple):
    """`entries` are a post's id and its author's, newest first. The reader followed all these authors when the top was
    filled. `grows`: there may be more; a part that needs them fills the top again.
    """

    entries: Sequence[bytes]
    end: UUID | None
    stamp: bytes | None = None
    grows: bool = False

    def segment(self, part: Window) -> Segment | None:
        """The entries within `part`; None if the top does not reach that far down."""
        if self.end is not None and part.start is not None and part.start <= self.end:
            return None
        if part.after is not None:
            return self._above(part.after, part.before, part.limit)
        at = 0 if part.before is None else bisect_right(self.entries, _descending(part.before), key=_key)
        found = segment_of([_ref(one) for one in self.entries[at : at + part.limit]], part.limit)
        return found if found.end is not None else Segment(found.refs, self.end)

    def _above(self, after: UUID, before: UUID | None, limit: int) -> Segment:
        at = bisect_left(self.entries, _descending(after), key=_key)
        refs = [_ref(one) for one in reversed(self.entries[:at])]
        return segment_of([ref for ref in refs if before is None or ref.post_id < before][:limit], limit)


class HomeTops:
    """A top is filled with `entries` at most; a first page asks for fewer."""

    def __init__(
        self, relational: RelationalStore, documents: DocumentStore, feeds: FeedStore, cache: Cache, entries: int
    ) -> None:
        self._relational = relational
        self._documents = documents
        self._feeds = feeds
        self._cache = cache
        self._entries = entries

    def add(self, post: PostRef, owners: Collection[UUID]) -> None:
        """Add a post that the feed store has to these readers' tops. Once this returns, no valid top lacks it."""
        try:
            self._cache.extend([key(owner) for owner in owners], _entry(post), most=ADDED * ENTRY)
        except Unavailable:
            with self._relational.transaction() as tx:
                tx.fanouts.lose()

    def of(
        self, reader: UUID, state: ReaderState, low_watermark: UUID, part: Window, likes: Likes | None = None
    ) -> Top | None:
        """The reader's top under this state, filled if the cached one does not cover `part`.

        None while the cache is unavailable.

        The pushed timeline is complete down to `low_watermark`, the later of the state's and the retention's. If the
        relational store is asked anyway, `likes` looks up the posts of a first part in the same round trip.

        Raises `Unavailable` if the top has to be filled and the feed store is unavailable.
        """
        name = key(reader)
        try:
            [held] = self._cache.read([name])
            note = _note(held.value) if held is not None else None
            is_right = note is not None and note.basis == Basis.of(state) and note.covers(part, self._entries)
            if held is not None and note is not None and is_right:
                return self._checked(reader, held, note)
            [lease] = self._cache.lease({name: held.stamp if held else b""})
        except Unavailable:
            return None
        asked = min(part.limit, self._entries) if part.start is None else self._entries
        entries, end = self._read(reader, low_watermark, asked, part, likes or Likes(self._relational, reader))
        note = TopNote(Basis.of(state), end, asked)
        return self._stored(reader, entries, note, lease if isinstance(lease, bytes) else None)

    def _checked(self, reader: UUID, held: Held, note: TopNote) -> Top:
        """The top with the posts added since its fill. Their authors are checked: a push may come after an unfollow."""
        entries = _split(held.value.body or b"")
        if not held.more:
            return self._top(entries, note, held.stamp)
        end = note.end.bytes if note.end else b""
        added = [one for one in _split(held.more) if one[:ID] >= end]
        doubtful = {one[ID:] for one in added} - {one[ID:] for one in entries}
        entries = _ordered({*entries, *added})
        if not doubtful:
            return self._top(entries, note, held.stamp)
        kept = _only_followed(reader, entries, doubtful, Likes(self._relational, reader))
        return self._stored(reader, kept, note, lease_of(self._cache, key(reader), held.stamp))

    def _read(
        self, reader: UUID, low_watermark: UUID, asked: int, part: Window, likes: Likes
    ) -> tuple[list[bytes], UUID | None]:
        """The entries, and the id down to which they are complete. Reads the timeline before the follows; the caller
        has read the state before both.
        """
        refs = self._feeds.home_page(reader, limit=asked, low_watermark=low_watermark)
        if len(refs) == asked:
            entries = [_entry(ref) for ref in refs]
            shown = [ref.post_id for ref in refs[: part.limit]] if part.start is None else []
            doubtful = {one[ID:] for one in entries}
            return _only_followed(reader, entries, doubtful, likes, shown), refs[-1].post_id
        authors = {reader, *self._relational.graph.followees(reader)}
        wanted = asked - len(refs)
        older = self._documents.posts.by_authors(authors, before=low_watermark, limit=wanted)
        end = older[-1].post_id if len(older) == wanted else None
        return [_entry(ref) for ref in (*refs, *older) if ref.author_id in authors], end

    def _stored(self, reader: UUID, entries: Sequence[bytes], note: TopNote, lease: bytes | None) -> Top:
        if lease is None:
            return self._top(entries, note, None)
        value = Value(b"".join(entries), note=msgspec.msgpack.encode(note))
        stored = stored_under(self._cache, key(reader), Fill(lease, value, FRESH_SECONDS))
        # The stamp of a value is the lease that it was filled under.
        return self._top(entries, note, lease if stored else None)

    def _top(self, entries: Sequence[bytes], note: TopNote, stamp: bytes | None) -> Top:
        return Top(entries, note.end, stamp, note.end is not None and note.asked < self._entries)


def _only_followed(
    reader: UUID, entries: Sequence[bytes], doubtful: Collection[bytes], likes: Likes, posts: Collection[UUID] = ()
) -> list[bytes]:
    """The entries without those of `doubtful` authors who are neither followed nor the reader."""
    others = {UUID(bytes=one) for one in doubtful if one != reader.bytes}
    strange = {one.bytes for one in others - likes.beside(posts, others)}
    return [one for one in entries if one[ID:] not in strange]


def key(reader: UUID) -> str:
    return f"home-top@1:{reader}"


def _note(value: Value) -> TopNote | None:
    try:
        return msgspec.msgpack.decode(value.note, type=TopNote)
    except msgspec.MsgspecError:
        return None


def _split(packed: bytes) -> list[bytes]:
    return [packed[at : at + ENTRY] for at in range(0, len(packed), ENTRY)]


def _ordered(entries: Iterable[bytes]) -> list[bytes]:
    """Newest first, and each post once."""
    return list({one[:ID]: one for one in sorted(entries, reverse=True)}.values())


def _entry(ref: PostRef) -> bytes:
    return (ref.post_id.int << 8 * ID | ref.author_id.int).to_bytes(ENTRY)


# Cached because many readers have the same posts.
@lru_cache(REMEMBERED)
def _ref(entry: bytes) -> PostRef:
    return PostRef(UUID(bytes=entry[:ID]), UUID(bytes=entry[ID:]))


def _descending(post_id: UUID) -> int:
    return -post_id.int


def _key(entry: bytes) -> int:
    return -int.from_bytes(entry[:ID])
