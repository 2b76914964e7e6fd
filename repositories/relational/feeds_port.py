"""The part of the feeds that must be transactional: readers, pulled authors, and how far fan-outs have come.

It is kept beside the graph, so that a page sees it in one round trip and a change of it is one commit.
"""

from abc import abstractmethod
from datetime import datetime
from typing import Protocol
from uuid import UUID

from repositories.feed_records import Fanout, Pass, PulledAuthor, PullReason, ReaderState, Situation


class FeedActivityReads(Protocol):
    @abstractmethod
    def reader_state(self, account_id: UUID) -> ReaderState:
        """In one round trip, by indexes that hold only what is pending. An unknown account is dormant."""


class FeedActivityWrites(Protocol):
    """Every account has a reader, made with the account: awake, seen then, without a low watermark."""

    @abstractmethod
    def seen(self, account_id: UUID, at: datetime) -> None:
        """Note that the account read its feed. Never backwards."""

    @abstractmethod
    def wake(self, account_id: UUID, at: datetime) -> bool:
        """Dormant to waking, seen at `at` or later, with a new generation. False when it was not dormant."""

    @abstractmethod
    def rebuild(self, account_id: UUID, at: datetime) -> bool:
        """To waking, seen at `at` or later, with a new generation, whatever it was. False for an unknown account."""

    @abstractmethod
    def finish(self, account_id: UUID, *, generation: int, low_watermark: UUID | None) -> bool:
        """Waking to awake with this mark, while `generation` is still the reader's. False when it was overtaken."""

    @abstractmethod
    def raise_low_watermark(self, account_id: UUID, low_watermark: UUID) -> None:
        """Declare everything below `low_watermark` incomplete; it never sinks.

        A waking reader gets a new generation, also for a lower one: whoever is about to finish it did not know of it.
        """

    @abstractmethod
    def sleep(self, *, seen_before: datetime, limit: int) -> list[UUID]:
        """Put up to `limit` awake readers not seen since to sleep, by an index; returns them."""


class FanoutReads(Protocol):
    @abstractmethod
    def situation(self, post_id: UUID, author_id: UUID) -> Situation:
        """In one round trip."""

    @abstractmethod
    def progress(self, post_id: UUID) -> Fanout | None: ...

    @abstractmethod
    def audience(
        self,
        author_id: UUID,
        *,
        stage: Pass = "all",
        recent: datetime | None = None,
        begun: datetime | None = None,
        after: UUID | None,
        limit: int,
    ) -> list[UUID]:
        """Followers that are not dormant, by ascending id, strictly above `after`: one chunk of a fan-out.

        Stage `recent`: those last seen in [`recent`, `begun`); stage `rest`: all others, among them those seen
        since `begun`, so that nobody who is seen in between is left out. `all` needs neither time.
        """

    @abstractmethod
    def audience_size(self, author_id: UUID) -> int:
        """How many followers are not dormant."""

    @abstractmethod
    def left(self, author_id: UUID, *, limit: int) -> list[Fanout]:
        """The author's fan-outs in state `pulled`, newest post first."""

    @abstractmethod
    def pulled_authors(self, *, after: UUID | None, limit: int) -> list[PulledAuthor]:
        """By ascending id, strictly above `after`."""

    @abstractmethod
    def lag(self) -> tuple[int, datetime | None]:
        """How many fan-outs are running, and when the post of the oldest of them was published."""


class FanoutWrites(Protocol):
    @abstractmethod
    def save(self, fanout: Fanout) -> None:
        """Keep the progress. It never goes back: a `done` one, or one that has delivered more, stays.

        A `pulled` one becomes `done`, but never `running` again. One that is saved as `done`, which needs its
        `finished_at`, replaces any that is on its way; one that is saved as `pulled` leaves a running one `pulled`
        with whichever progress is more. A fan-out in state `retracting` replaces any other, and is replaced by none
        but its own progress. As much delivered is more in stage `rest`, and then at the higher cursor.
        """

    @abstractmethod
    def pull(self, author_id: UUID, *, at: datetime, reason: PullReason) -> None:
        """From this commit on readers pull this author. Also one that was returning; one that is pulled stays so."""

    @abstractmethod
    def skip(self, fanout: Fanout) -> bool:
        """If the author is `pulled` (not returning), keep the fan-out in state `pulled`, to be done later.

        False: the author is not, and the post must be pushed. Excludes `returning` of the same author.
        """

    @abstractmethod
    def returning(self, author_id: UUID, at: datetime) -> bool:
        """Pulled to returning: from now on new posts are pushed, and readers still pull. False when not pulled."""

    @abstractmethod
    def pushed(self, author_id: UUID, *, changed_at: datetime) -> bool:
        """End the pulling: it is still the turn of `changed_at`, returning, and no fan-out is left to be done.

        False otherwise, and nothing is changed.
        """

    @abstractmethod
    def forget(self, post_id: UUID) -> None:
        """Remove the fan-out of a deleted post. Idempotent."""

    @abstractmethod
    def sweep(self, *, finished_before: datetime, limit: int) -> int:
        """Remove up to `limit` fan-outs that were done before this time. Returns how many."""
