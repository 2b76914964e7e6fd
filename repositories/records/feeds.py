"""Records about feeds: reader states, fan-outs, pulled authors, and the activities behind notifications."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

Wakefulness = Literal["awake", "waking", "dormant"]
FanoutState = Literal["running", "done", "pulled", "retracting"]
Stage = Literal["all", "recent", "rest"]
PullState = Literal["pulled", "returning"]
PullReason = Literal["threshold", "shed"]
Kind = Literal["follow", "like", "comment", "order"]


class ReaderState(Struct, frozen=True):
    """Which part of a reader's home timeline is complete.

    The timeline of an `awake` reader is complete from `low_watermark` upwards (None: over the whole retention), that of
    the others is not. A `waking` reader gets pushes while the timeline is being filled; `generation` fences concurrent
    fills. `pulled` are the followees whose posts may be missing, ascending: the follow is not back-filled yet, or the
    author is pulled. `seen_at` is when the reader last read, accurate to about an hour. `revision` counts the changes
    of the reader's follows and likes. `lost` and `published` are the same for all readers: `lost` counts the posts that
    could not be added to cached home tops, `published` all published posts. `followed` holds those
    of the authors named by the caller that the reader follows.
    """

    state: Wakefulness
    generation: int
    seen_at: datetime
    low_watermark: UUID | None
    pulled: tuple[UUID, ...] = ()
    revision: int = 0
    lost: int = 0
    published: int = 0
    followed: tuple[UUID, ...] = ()


class Fanout(Struct, frozen=True):
    """The progress of one post's delivery to its author's followers.

    It continues in `stage` strictly above `cursor`, a follower's id. `audience` is the number of followers that were
    not dormant when it began. `lag_histogram` counts deliveries by time since publication, as (bucket, count) pairs of
    `app.services.feeds.lag_histogram`. `trace` is the id of the request that published the post.
    """

    post_id: UUID
    author_id: UUID
    published_at: datetime
    begun_at: datetime
    state: FanoutState
    stage: Stage
    cursor: UUID | None
    audience: int
    delivered: int
    lag_histogram: tuple[tuple[int, int], ...]
    finished_at: datetime | None
    trace: str


class PulledAuthor(Struct, frozen=True):
    """An author whose posts are pulled. `changed_at` is when `state` was set, and identifies this change."""

    author_id: UUID
    state: PullState
    reason: PullReason
    changed_at: datetime


class Situation(Struct, frozen=True):
    """What a fan-out reads before it begins or continues. `followers` is the author's counter."""

    fanout: Fanout | None
    pulled: PulledAuthor | None
    followers: int


class Activity(Struct, frozen=True):
    """One thing an account is notified of: `actor` did it to `subject` (a post, an order, or the account followed).

    Activities of the same kind, subject and UTC day are shown as one. `number` distinguishes one actor's comments.
    """

    kind: Kind
    subject: UUID
    actor: UUID
    at: datetime
    number: int = 0
    detail: str = ""
