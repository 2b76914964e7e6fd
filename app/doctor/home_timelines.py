"""Compares the home timelines of awake readers with the posts of the accounts they follow.

A home timeline must hold every post that is not in flight, is not below the low watermark, and is by the reader or by a
followee whose back-fill is done and who is not pulled. A second look reads in the order of a page (in flight, reader
state, timeline), and reads the truth last: it shows what was unfollowed, deleted or trimmed during the look. Posts
whose deletion is not dispatched yet are ignored; they are read before all else, too.
"""

from datetime import timedelta
from uuid import UUID

from app.clock import Clock
from app.doctor.comparing import ALTERED, BLOCK, GONE, MISPLACED, Key, Look, Wrong, differences
from app.doctor.timeline_kind import Side, authors_of, buried, collected, in_flight
from app.ids import EPOCH, MICROSECOND, lowest_id
from app.services.feeds.page_windows import LOWEST
from app.services.feeds.timeline_rebuild import TimelineRebuild
from app.services.feeds.timelines import EXPIRY_MARGIN
from repositories.documents import DocumentStore
from repositories.feeds import FeedStore
from repositories.feeds.audit_port import StoredEntry
from repositories.feeds.port import MAX_TOMBSTONES
from repositories.records.content import PostRef
from repositories.records.feeds import ReaderState
from repositories.relational import RelationalStore


class Homes(Side):
    name = "home timeline"

    def __init__(
        self,
        relational: RelationalStore,
        documents: DocumentStore,
        feeds: FeedStore,
        timeline_rebuild: TimelineRebuild,
        clock: Clock,
        retention: timedelta,
    ) -> None:
        self._relational = relational
        self._documents = documents
        self._feeds = feeds
        self._timeline_rebuild = timeline_rebuild
        self._clock = clock
        self._kept = retention - EXPIRY_MARGIN

    def look(self, one: UUID, doubted: Look | None = None) -> Look:
        """Compare one home timeline. Empty unless the reader was awake during the whole look."""
        began = self._clock()
        flying, dying = in_flight(self._documents, doubted), buried(self._documents, doubted)
        reader_state = self._relational.feed_activity.reader_state(one)
        if reader_state.state != "awake":
            return Look(began)
        followed = self._followed(one)
        found = differences(
            self._feeds.audit.home(one),
            lambda before: self._documents.posts.by_authors(followed, before=before, limit=BLOCK),
            self._lowest_promised(reader_state),
        )
        missing, surplus, complete = collected(found, doubted)
        after, still = self._relational.feed_activity.reader_state(one), self._followed(one)
        if not (missing or surplus) or (after.state, after.generation) != ("awake", reader_state.generation):
            return Look(began)
        pulled = {*reader_state.pulled, *after.pulled}
        surplus = [kept for kept in surplus if kept.post_id not in dying]
        wrong, leftover = self._classified(surplus, missing, still, pulled)
        low = self._lowest_promised(after)
        for post in list(missing.values()):
            is_promised = post.author_id in still and post.author_id not in pulled and post.post_id >= low
            if not is_promised or post.post_id in flying:
                del missing[post.post_id]
        return Look(began, missing, wrong, leftover, complete)

    def mend(self, one: UUID, look: Look) -> None:
        """Repair the timeline. An altered entry is overwritten with a timestamp later than that of the alteration."""
        audit = self._feeds.audit
        audit.remove_home([w.kept for w in look.wrong.values() if w.instead is None], look.began)
        audit.restore_home(one, list(look.missing.values()), look.began)
        altered = [(w.instead, w.kept) for w in look.wrong.values() if w.instead is not None]
        if altered:
            newest = max(kept.written_us or 0 for _, kept in altered)
            at = max(look.began, EPOCH + (newest + 1) * MICROSECOND)
            audit.restore_home(one, [post for post, _ in altered], at)
        if len(look.leftover) > MAX_TOMBSTONES:
            self._timeline_rebuild.request(one)
        else:
            audit.remove_home(list(look.leftover.values()), EPOCH)
            with self._relational.transaction() as tx:
                tx.feed_activity.revise(one)

    def _followed(self, reader: UUID) -> set[UUID]:
        return {reader, *self._relational.graph.followees(reader)}

    def _lowest_promised(self, reader_state: ReaderState) -> UUID:
        return max(reader_state.low_watermark or LOWEST, lowest_id(self._clock() - self._kept))

    def _classified(
        self, surplus: list[StoredEntry], missing: dict[UUID, PostRef], followed: set[UUID], pulled: set[UUID]
    ) -> tuple[dict[Key, Wrong], dict[Key, StoredEntry]]:
        """Divide surplus entries into wrong and leftover ones. Removes the posts of altered entries from `missing`.

        The entry of a deleted post may be a leftover: a deletion is not retracted from readers who have unfollowed the
        author, and the clean-up after the unfollow may be late. So it is wrong only if the author is followed and not
        pulled, or does not exist.
        """
        truth = authors_of(self._documents, surplus)
        gone = {k.author_id for k in surplus if k.post_id not in truth and k.author_id is not None}
        accounts = self._relational.accounts.get(gone - (followed - pulled)) if gone else {}
        wrong, leftover = dict[Key, Wrong](), dict[Key, StoredEntry]()
        for kept in surplus:
            key, author = (kept.bucket, kept.post_id), truth.get(kept.post_id)
            if author is None and kept.author_id in accounts:
                leftover[key] = kept
            elif author is None:
                wrong[key] = Wrong(kept, GONE)
            elif not kept.in_place:
                wrong[key] = Wrong(kept, MISPLACED)
            elif kept.author_id != author:
                wrong[key] = Wrong(kept, ALTERED, missing.pop(kept.post_id, None))
            elif author not in followed:
                leftover[key] = kept
        return wrong, leftover
