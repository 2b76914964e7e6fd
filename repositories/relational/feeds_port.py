"""The transactional part of the feeds: reader states, pulled authors and the progress of fan-outs.

It is stored beside the follow graph, so that a page reads both in one round trip and one commit can change both.
"""

from abc import abstractmethod
from collections.abc import Collection
from datetime import datetime
from typing import Protocol
from uuid import UUID

from repositories.records.feeds import Fanout, PulledAuthor, PullReason, ReaderState, Situation, Stage


class FeedActivityReads(Protocol):
    @abstractmethod
    def reader_state(self, account_id: UUID, authors: Collection[UUID] = ()) -> ReaderState:
        """The reader's state, in one round trip whose cost does not grow with the number of followees.

        An unknown account is dormant. `ReaderState.followed` holds those of `authors` that the account follows.
        """


class FeedActivityWrites(Protocol):
    """One row per account, created with the account: awake, seen at that time, without a low watermark."""

    @abstractmethod
    def seen(self, account_id: UUID, at: datetime) -> None:
        """Record that the account read its feed. An earlier time changes nothing."""

    @abstractmethod
    def wake(self, account_id: UUID, at: datetime) -> bool:
        """Dormant to waking with the next generation; `seen_at` becomes `at` if that is later. False if not dormant."""

    @abstractmethod
    def rebuild(self, account_id: UUID, at: datetime) -> bool:
        """As `wake`, from any state. False for an unknown account."""

    @abstractmethod
    def finish(self, account_id: UUID, *, generation: int, low_watermark: UUID | None) -> bool:
        """Waking to awake with this low watermark, if `generation` is still current. False otherwise."""

    @abstractmethod
    def raise_low_watermark(self, account_id: UUID, low_watermark: UUID) -> None:
        """Declare the timeline below this id incomplete. A lower mark than the present one does not replace it.

        A waking reader always gets the next generation, since the running fill does not know this low watermark.
        """

    @abstractmethod
    def revise(self, account_id: UUID) -> None:
        """Increment `ReaderState.revision`, which invalidates what is cached of this reader's feed."""

    @abstractmethod
    def sleep(self, *, seen_before: datetime, limit: int) -> list[UUID]:
        """Mark up to `limit` awake readers with an earlier `seen_at` as dormant, oldest first. Returns them."""


class FanoutReads(Protocol):
    @abstractmethod
    def situation(self, post_id: UUID, author_id: UUID) -> Situation:
        """What a fan-out needs to begin or continue, in one round trip."""

    @abstractmethod
    def progress(self, post_id: UUID) -> Fanout | None: ...

    @abstractmethod
    def audience(
        self,
        author_id: UUID,
        *,
        stage: Stage = "all",
        recent: datetime | None = None,
        begun: datetime | None = None,
        after: UUID | None,
        limit: int,
    ) -> list[UUID]:
        """One chunk of a fan-out: followers that are not dormant, by ascending id, strictly above `after`.

        Stage `recent` has those last seen in [`recent`, `begun`), stage `rest` all others. Followers seen since
        `begun` are in `rest`, so that nobody changes from one stage to the other meanwhile. `all` needs no times.
        """

    @abstractmethod
    def audience_size(self, author_id: UUID) -> int:
        """The number of followers that are not dormant."""

    @abstractmethod
    def postponed(self, author_id: UUID, *, limit: int) -> list[Fanout]:
        """The author's fan-outs in state `pulled`, newest post first; to be completed when the author returns."""

    @abstractmethod
    def pulled_authors(self, *, after: UUID | None, limit: int) -> list[PulledAuthor]:
        """Pulled authors by ascending id, strictly above `after`."""

    @abstractmethod
    def lag(self) -> tuple[int, datetime | None]:
        """The number of running fan-outs, and the earliest `published_at` among them."""


class FanoutWrites(Protocol):
    @abstractmethod
    def save(self, fanout: Fanout) -> None:
        """Store the progress, unless the stored progress is further. Concurrent workers may call it in any order.

        - Progress is compared by `delivered`, then by stage (`rest` is further), then by cursor.
        - `done` needs `finished_at`. It replaces `running` and `pulled`, and is replaced by `retracting` only.
        - `pulled` never becomes `running` again. Saving `pulled` over `running` keeps the further progress of the two.
        - `retracting` replaces every state and is replaced by its own progress only.
        """

    @abstractmethod
    def pull(self, author_id: UUID, *, at: datetime, reason: PullReason) -> None:
        """Make the author, also a returning one, pulled from this commit on. A pulled author stays unchanged."""

    @abstractmethod
    def postpone(self, fanout: Fanout) -> bool:
        """Save the fan-out in state `pulled`, to be completed later, if the author is `pulled` and not returning.

        False otherwise: the post must be pushed. Serialised with `begin_return` of the same author by a row lock.
        """

    @abstractmethod
    def begin_return(self, author_id: UUID, at: datetime) -> bool:
        """Pulled to returning: new posts are pushed from now on, and readers still pull. False if not pulled."""

    @abstractmethod
    def end_pull(self, author_id: UUID, *, changed_at: datetime) -> bool:
        """Remove the pulled author, if it is returning since `changed_at` and has no fan-out in state `pulled`.

        False otherwise, and nothing changes.
        """

    @abstractmethod
    def forget(self, post_id: UUID) -> None:
        """Remove the fan-out of a deleted post. Idempotent."""

    @abstractmethod
    def lose(self) -> None:
        """Increment `ReaderState.lost` of every reader: no cached home top is complete any more."""

    @abstractmethod
    def count_published(self, author_id: UUID) -> None:
        """Increment `ReaderState.published` of every reader. The counter is sharded by author to limit lock waits."""

    @abstractmethod
    def sweep(self, *, finished_before: datetime, limit: int) -> int:
        """Delete up to `limit` fan-outs that finished before this time. Returns how many."""
