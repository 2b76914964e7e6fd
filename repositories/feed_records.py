"""Records of how feeds come about: who reads, whose posts are pulled, how far a fan-out has come, what is notified."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

Wakefulness = Literal["awake", "waking", "dormant"]
FanoutState = Literal["running", "done", "pulled", "retracting"]
Pass = Literal["all", "recent", "rest"]
PullState = Literal["pulled", "returning"]
PullReason = Literal["threshold", "shed"]
Kind = Literal["follow", "like", "comment", "order"]


class ReaderState(Struct, frozen=True):
    """What a page must know before it trusts the reader's pushed timeline.

    Only that of an `awake` reader is complete, from `low_watermark` upwards (None: as far as the retention reaches).
    A `waking` reader gets posts pushed again while the timeline is filled from the truth. `generation` fences that.
    `pulled` are the followees whose posts may be missing: the follow's back-fill is not done, or the author is
    pulled.
    """

    state: Wakefulness
    generation: int
    seen_at: datetime
    low_watermark: UUID | None
    pulled: tuple[UUID, ...] = ()


class Fanout(Struct, frozen=True):
    """How far one post's delivery to its author's followers has come.

    It goes on in its `stage` strictly above `cursor`, a follower's id. `audience` is how many followers were not
    dormant when it began. `lags` counts deliveries by their time since publication: pairs of a bucket's number and a
    count. `trace` is the id of the request that published.
    """

    post_id: UUID
    author_id: UUID
    published_at: datetime
    begun_at: datetime
    state: FanoutState
    stage: Pass
    cursor: UUID | None
    audience: int
    delivered: int
    lag_histogram: tuple[tuple[int, int], ...]
    finished_at: datetime | None
    trace: str


class PulledAuthor(Struct, frozen=True):
    """An author whose posts readers pull. `changed_at` tells this turn of the state from every other."""

    author_id: UUID
    state: PullState
    reason: PullReason
    changed_at: datetime


class Situation(Struct, frozen=True):
    """What a fan-out must know to begin or go on."""

    fanout: Fanout | None
    pulled: PulledAuthor | None
    followers: int


class Activity(Struct, frozen=True):
    """One thing somebody is notified of: `actor` did it to `subject` (a post, an order, or the one followed).

    Activities of the same kind, subject and UTC day are shown as one. `number` tells the comments of one actor apart.
    """

    kind: Kind
    subject: UUID
    actor: UUID
    at: datetime
    number: int = 0
    detail: str = ""
