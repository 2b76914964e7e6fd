"""The cached top of each home feed: the newest posts of readers who are awake, as ids.

Fan-out puts a post into the tops right after the feed store has it. A top that is not there is filled from the feed
store, which stays the timeline, and below the low watermark from the documents: for a first page with no more than that
page reads, and with all that is kept of a feed once somebody reads on. Why a top is never wrong (decision 21):

- Pushed posts. A post is put into the tops before its event is acknowledged, and until then it is in flight, which is
  read first. A fill that began before the post was put in is refused, as every fill that a write overtook. Where the
  cache cannot be written, `lose` is counted in the relational store instead, before the acknowledgement.
- All else. Whoever follows, unfollows, blocks, is back-filled or rebuilt changes the reader state in the same
  transaction. A top bears the state it was filled under, and counts only under that state.

So a page compares the top with what it has read from the truth. A cache that was flushed, was away, or holds what is
old makes it slower and not wrong.
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
from repositories.feed_records import ReaderState
from repositories.feeds import FeedStore
from repositories.hot import Cache, Fill, Held, Value, lease_of, stored_under
from repositories.records import PostRef
from repositories.relational import RelationalStore

# Entries that are pushed into a top before it is filled anew, at most.
ADDED = 160
FRESH_SECONDS = 3600.0
ENTRY, ID = 32, 16
# Entries, of half a kilobyte as records.
REMEMBERED = 8192
# What nobody asks for: before `asked` was noted, a top was filled with all that is kept.
MANY = 1 << 31


class Basis(Struct, frozen=True, array_like=True):
    """What of a reader state all that is cached of a feed depends on."""

    generation: int
    revision: int
    lost: int
    low_watermark: UUID | None

    @classmethod
    def of(cls, state: ReaderState) -> Self:
        return cls(state.generation, state.revision, state.lost, state.low_watermark)


class TopNote(Struct, frozen=True, array_like=True):
    """Under which state a top was filled, and with how many entries at most. It is complete down to `end`, None: the
    whole timeline.
    """

    basis: Basis
    end: UUID | None
    asked: int = MANY

    def covers(self, part: Window, most: int) -> bool:
        """Whether a fill with `most` entries need not be tried for this part."""
        if self.end is None or self.asked >= most:
            return True
        if part.start is None:
            return part.limit <= self.asked
        return part.upward and part.start > self.end


class Top(NamedTuple):
    """`entries` are post and author, newest first. Whom they are by the reader followed under the basis' state.
    `grows`: more may be kept, and are once they are asked for.
    """

    entries: Sequence[bytes]
    end: UUID | None
    stamp: bytes | None = None
    grows: bool = False

    def segment(self, part: Window) -> Segment | None:
        """What it has of this part; None where it does not reach that far."""
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
    """`entries` is how many a top is filled with, at most, and for a first page fewer."""

    def __init__(
        self, relational: RelationalStore, documents: DocumentStore, feeds: FeedStore, cache: Cache, entries: int
    ) -> None:
        self._relational = relational
        self._documents = documents
        self._feeds = feeds
        self._cache = cache
        self._entries = entries

    def add(self, post: PostRef, owners: Collection[UUID]) -> None:
        """Put a post that the feed store has into these feeds' tops. From its return on, no top lacks it."""
        try:
            self._cache.extend([key(owner) for owner in owners], _entry(post), most=ADDED * ENTRY)
        except Unavailable:
            with self._relational.transaction() as tx:
                tx.fanouts.lose()

    def of(
        self, reader: UUID, state: ReaderState, low_watermark: UUID, part: Window, likes: Likes | None = None
    ) -> Top | None:
        """The reader's top under this state, filled for this part where there is none. None while the cache is away.

        The pushed timeline is complete down to `low_watermark`, that of the state or of the retention. `likes` learn of
        the posts of a first part, where the relational store is asked anyway.

        Raises `Unavailable` where it is to be filled and the feed store is away.
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
        """Authors of what was added since need not be followed any more: a push may be late."""
        entries = _split(held.value.body or b"")
        if not held.more:
            return self._top(entries, note, held.stamp)
        end = note.end.bytes if note.end else b""
        added = [one for one in _split(held.more) if one[:ID] >= end]
        doubtful = {one[ID:] for one in added} - {one[ID:] for one in entries}
        entries = _ordered({*entries, *added})
        if not doubtful:
            return self._top(entries, note, held.stamp)
        kept = _of_followees(reader, entries, doubtful, Likes(self._relational, reader))
        return self._stored(reader, kept, note, lease_of(self._cache, key(reader), held.stamp))

    def _read(
        self, reader: UUID, low_watermark: UUID, asked: int, part: Window, likes: Likes
    ) -> tuple[list[bytes], UUID | None]:
        """Entries, and down to where. The timeline comes before whom the reader follows; the state came before both."""
        refs = self._feeds.home_page(reader, limit=asked, low_watermark=low_watermark)
        if len(refs) == asked:
            entries = [_entry(ref) for ref in refs]
            shown = [ref.post_id for ref in refs[: part.limit]] if part.start is None else []
            doubtful = {one[ID:] for one in entries}
            return _of_followees(reader, entries, doubtful, likes, shown), refs[-1].post_id
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


def _of_followees(
    reader: UUID, entries: Sequence[bytes], doubtful: Collection[bytes], likes: Likes, posts: Collection[UUID] = ()
) -> list[bytes]:
    """The entries whose authors are not doubtful, or followed, or the reader."""
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


# Many readers have the same posts.
@lru_cache(REMEMBERED)
def _ref(entry: bytes) -> PostRef:
    return PostRef(UUID(bytes=entry[:ID]), UUID(bytes=entry[ID:]))


def _descending(post_id: UUID) -> int:
    return -post_id.int


def _key(entry: bytes) -> int:
    return -int.from_bytes(entry[:ID])
