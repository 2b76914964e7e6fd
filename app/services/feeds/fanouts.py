"""Fan-out on write: a post's id is pushed into the home timelines of its author's followers.

A fan-out runs in chunks of followers and saves its cursor in the relational store after each chunk, so another relay
can continue it. Followers who read within the last day come first; dormant readers are skipped. Posts of an author
above the threshold, and deliveries over the budget, are not pushed: the author is marked as pulled. That is committed
before the event is acknowledged, so every post is in flight, pushed or pulled. When the author returns to being
pushed, `make_up` completes the postponed fan-outs.

Live streams are written before progress is saved: a chunk is repeated after a crash, and a stream drops duplicates.
"""

import math
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from msgspec import Struct
from msgspec.structs import replace

from app.clock import Clock
from app.ids import lowest_id
from app.services.feeds import lag_histogram
from app.services.feeds.delivery_budget import DeliveryBudget
from app.services.feeds.home_tops import HomeTops
from app.services.feeds.timeline_rebuild import TimelineRebuild
from app.services.live.announcer import Announcer
from app.telemetry import request_trace, spans
from repositories import meter
from repositories.documents import DocumentStore
from repositories.feeds import FeedStore
from repositories.records.content import PostRef
from repositories.records.feeds import Fanout, Situation, Stage
from repositories.relational import RelationalStore

log = structlog.get_logger("quartet.fanouts")
DAY = timedelta(days=1)
# Followers who read within this time before the fan-out began come first.
RECENTLY = timedelta(days=1)
# Subtracted from the start time: `seen_at` may be committed a little later than the time it holds.
MARGIN = timedelta(minutes=1)
# How long a fan-out waits when the delivery budget is spent.
OUT_OF_BUDGET = timedelta(seconds=0.5)
# Each page of a stage scans the followers of the other stage too, so larger audiences have one stage only.
MOST_BY_STAGES = 200_000
# Followers per step at least, however slow the feed store is, unless `chunk` is less.
LEAST_STEP = 250
# Posts of one author that `is_above` counts at most.
COUNTED = 1000
NEXT: dict[Stage, Stage | None] = {"recent": "rest", "rest": None, "all": None}


class Unfinished(Exception):
    """A slice of the work is done and saved; the event is due again after `wait`.

    With a `reason` the wait is intended: the event does not count as behind until it is due again.
    """

    def __init__(self, wait: timedelta = timedelta(), reason: str | None = None) -> None:
        super().__init__()
        self.wait = wait
        self.reason = reason


class FanoutLimits(Struct, frozen=True):
    """`chunk`: followers per step at most. `threshold`: deliveries a day above which an author is pulled.

    `slice_seconds`: how long one fan-out runs before other events get their turn. Steps are sized to fit into it.
    """

    chunk: int
    threshold: int
    slice_seconds: float


class Fanouts:
    def __init__(
        self,
        relational: RelationalStore,
        documents: DocumentStore,
        feeds: FeedStore,
        tops: HomeTops,
        budget: DeliveryBudget,
        clock: Clock,
        limits: FanoutLimits,
        announcer: Announcer,
        timeline_rebuild: TimelineRebuild,
    ) -> None:
        self._relational = relational
        self._documents = documents
        self._feeds = feeds
        self._tops = tops
        self._budget = budget
        self._clock = clock
        self._limits = limits
        self._announcer = announcer
        self._timeline_rebuild = timeline_rebuild
        # Followers per step; shared by all threads without a lock, since any recent value will do.
        self._step = limits.chunk

    def deliver(self, post: PostRef, at: datetime) -> None:
        """Push a post that was published at `at`, or mark its author as pulled. Raises `Unfinished` after a slice."""
        self._feeds.add_to_author(post, at)
        situation = self._relational.fanouts.situation(post.post_id, post.author_id)
        if situation.fanout is not None and situation.fanout.state != "running":
            return
        fanout = situation.fanout or self._new_fanout(post, at, situation)
        if situation.fanout is None:
            self._feeds.push(post, [post.author_id], at)
            self._tops.add(post, [post.author_id])
            self._announcer.delivered(post, [post.author_id])
            if self._is_postponed(fanout, situation):
                return
        self._run(fanout)

    def make_up(self, author: UUID, at: datetime) -> None:
        """Complete the author's postponed fan-outs, newest post first; then stop pulling the author.

        `at` is when the return began. Does nothing if the author was pulled again since. Raises `Unfinished`.
        """
        while True:
            postponed = self._relational.fanouts.postponed(author, limit=1)
            if not postponed:
                break
            pulled = self._relational.fanouts.situation(postponed[0].post_id, author).pulled
            if pulled is None or pulled.state != "returning" or pulled.changed_at != at:
                return
            self._run(postponed[0])
        with self._relational.transaction() as tx:
            tx.fanouts.end_pull(author, changed_at=at)

    def retract(self, post: PostRef, at: datetime) -> None:
        """Remove a post that was deleted at `at` from home timelines. Raises `Unfinished` after a slice.

        A deletion commits a little after the time of its event, and a back-fill that begins in between writes the post
        with a later timestamp. So entries are removed with the current time. Ids are not reused: nothing else is lost.
        """
        at = max(at, self._clock())
        self._feeds.remove_from_author(post, at)
        fanout = self._relational.fanouts.progress(post.post_id)
        if fanout is None or fanout.state != "retracting":
            self._remove(post, [post.author_id], at)
            self._announcer.retracted(post, [post.author_id])
            fanout = self._retraction(post, at)
        deadline = time.monotonic() + self._limits.slice_seconds
        while chunk := self._chunk(fanout, self._limits.chunk):
            self._remove(post, chunk, at)
            self._announcer.retracted(post, chunk)
            if len(chunk) < self._limits.chunk:
                break
            fanout = replace(fanout, cursor=chunk[-1])
            self._save(fanout)
            if time.monotonic() >= deadline:
                raise Unfinished
        with self._relational.transaction() as tx:
            tx.fanouts.forget(post.post_id)

    def _remove(self, post: PostRef, owners: Sequence[UUID], at: datetime) -> None:
        for owner in self._feeds.retract(post, owners, at):
            self._timeline_rebuild.request_and_trim(owner)

    def is_above(self, author: UUID, followers: int, share: float = 1.0) -> bool:
        """Whether `followers` times the author's posts a day reach `share` of the threshold.

        Posts a day are those of the last 24 hours, or a seventh of the last week's if that is more. Counts no more
        posts than it takes to decide.
        """
        daily = math.ceil(self._limits.threshold * share / max(followers, 1))
        return self._has_posted(author, daily, DAY) or self._has_posted(author, 7 * daily, 7 * DAY)

    def _has_posted(self, author: UUID, posts: int, within: timedelta) -> bool:
        if posts > COUNTED:
            return False
        since = lowest_id(self._clock() - within)
        return len(self._documents.posts.by_authors([author], after=since, limit=posts)) >= posts

    def _new_fanout(self, post: PostRef, at: datetime, situation: Situation) -> Fanout:
        many = self._limits.chunk < situation.followers <= MOST_BY_STAGES
        return Fanout(
            post_id=post.post_id,
            author_id=post.author_id,
            published_at=at,
            begun_at=self._clock(),
            state="running",
            stage="recent" if many else "all",
            cursor=None,
            audience=self._relational.fanouts.audience_size(post.author_id) if many else 0,
            delivered=0,
            lag_histogram=(),
            finished_at=None,
            trace=request_trace.current(),
        )

    def _retraction(self, post: PostRef, at: datetime) -> Fanout:
        return replace(self._new_fanout(post, at, Situation(None, None, 0)), state="retracting")

    def _is_postponed(self, fanout: Fanout, situation: Situation) -> bool:
        """Whether the author is pulled, or becomes pulled now. If True, the fan-out was saved as postponed."""
        post = PostRef(fanout.post_id, fanout.author_id)
        if situation.pulled is not None and situation.pulled.state == "pulled":
            self._announcer.left(post)
            with self._relational.transaction() as tx:
                if tx.fanouts.postpone(self._with_audience(fanout)):
                    return True
        if self.is_above(fanout.author_id, situation.followers):
            self._announcer.left(post)
            with self._relational.transaction() as tx:
                tx.fanouts.pull(fanout.author_id, at=self._clock(), reason="threshold")
                return tx.fanouts.postpone(self._with_audience(fanout))
        return False

    def _with_audience(self, fanout: Fanout) -> Fanout:
        if fanout.audience:
            return fanout
        return replace(fanout, audience=self._relational.fanouts.audience_size(fanout.author_id))

    def _run(self, fanout: Fanout) -> None:
        """Push chunk by chunk until it is done, the budget is spent, or the slice's time is up (`Unfinished`)."""
        post = PostRef(fanout.post_id, fanout.author_id)
        deadline = time.monotonic() + self._limits.slice_seconds
        while fanout.finished_at is None:
            step = self._step
            chunk = self._chunk(fanout, step)
            if chunk and not self._budget.take(len(chunk)):
                self._shed(fanout, len(chunk))
                return
            if chunk:
                self._push(post, chunk, fanout.published_at)
                self._announcer.delivered(post, chunk)
            fanout = self._advanced(fanout, chunk, more=len(chunk) == step)
            self._save(fanout)
            if fanout.finished_at is not None:
                _log(fanout)
            if fanout.finished_at is None and time.monotonic() >= deadline:
                raise Unfinished

    def _push(self, post: PostRef, chunk: Sequence[UUID], at: datetime) -> None:
        """Also sets the size of the next step to what fits into a slice at this pace."""
        began = time.monotonic()
        with meter.running("fanouts"), spans.step("push chunk", {"quartet.deliveries": len(chunk)}):
            self._feeds.push(post, chunk, at)
            self._tops.add(post, chunk)
        pace = len(chunk) / max(time.monotonic() - began, 0.001)
        self._step = min(self._limits.chunk, max(LEAST_STEP, int(pace * self._limits.slice_seconds)))

    def _chunk(self, fanout: Fanout, limit: int) -> list[UUID]:
        begun = fanout.begun_at - MARGIN
        return self._relational.fanouts.audience(
            fanout.author_id,
            stage=fanout.stage,
            recent=fanout.begun_at - RECENTLY,
            begun=begun,
            after=fanout.cursor,
            limit=limit,
        )

    def _advanced(self, fanout: Fanout, chunk: Sequence[UUID], *, more: bool) -> Fanout:
        now = self._clock()
        if chunk:
            lag, delivered = now - fanout.published_at, fanout.delivered + len(chunk)
            meter.counted("deliveries", len(chunk))
            if fanout.state != "pulled":
                # One that was postponed is late on purpose, and its post was pulled in the meantime.
                meter.observed("fanout_lag", lag.total_seconds(), len(chunk))
            counts = lag_histogram.added(fanout.lag_histogram, lag, len(chunk))
            fanout = replace(
                fanout, delivered=delivered, audience=max(fanout.audience, delivered), lag_histogram=counts
            )
        if more:
            return replace(fanout, cursor=chunk[-1])
        following = NEXT[fanout.stage]
        if following is None:
            return replace(fanout, state="done", audience=fanout.delivered, finished_at=now)
        return replace(fanout, stage=following, cursor=None)

    def _shed(self, fanout: Fanout, deliveries: int) -> None:
        """Over budget: pull the author and save the fan-out with its cursor. A fan-out in `make_up` waits instead."""
        if fanout.state == "pulled":
            raise Unfinished(OUT_OF_BUDGET)
        self._announcer.left(PostRef(fanout.post_id, fanout.author_id))
        with self._relational.transaction() as tx:
            tx.fanouts.pull(fanout.author_id, at=self._clock(), reason="shed")
            tx.fanouts.postpone(replace(fanout, audience=max(fanout.audience, fanout.delivered + deliveries)))

    def _save(self, fanout: Fanout) -> None:
        with self._relational.transaction() as tx:
            tx.fanouts.save(fanout)


def _log(fanout: Fanout) -> None:
    p99 = lag_histogram.percentile(fanout.lag_histogram, 0.99)
    p99_ms = None if p99 is None else round(p99)
    log.info(
        "delivered", request_id=fanout.trace, post_id=str(fanout.post_id), delivered=fanout.delivered, p99_ms=p99_ms
    )
