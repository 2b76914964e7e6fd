"""Fan-outs, and commands on them and on pulled authors, for tests."""

from datetime import datetime
from uuid import UUID, uuid4

from msgspec.structs import replace

from repositories.records.feeds import Fanout, PulledAuthor, PullReason, Stage
from repositories.relational import RelationalStore
from tests.contracts.relational_store import NOW
from tests.contracts.transactions import MICROSECOND, SECOND, do

LATER = NOW + SECOND
ENDS: list[UUID] = [UUID(int=top << 120 | 7) for top in (0x00, 0x7F, 0x80, 0xFF)]
STAGES: tuple[Stage, ...] = ("all", "recent", "rest")


def fanout(**changes: object) -> Fanout:
    """A running fan-out that has delivered to 20 followers."""
    made = Fanout(
        post_id=uuid4(),
        author_id=uuid4(),
        published_at=NOW,
        begun_at=NOW + MICROSECOND,
        state="running",
        stage="recent",
        cursor=ENDS[2],
        audience=50,
        delivered=20,
        lag_histogram=((3, 15), (4, 5)),
        finished_at=None,
        trace="0af7651916cd43dd",
    )
    return replace(made, **changes) if changes else made


def save(store: RelationalStore, *fanouts: Fanout) -> None:
    for one in fanouts:
        do(store, lambda unit, one=one: unit.fanouts.save(one))  # type: ignore[misc]  # default binds


def pull(store: RelationalStore, author: UUID, at: datetime = NOW, reason: PullReason = "shed") -> None:
    do(store, lambda unit: unit.fanouts.pull(author, at=at, reason=reason))


def postpone(store: RelationalStore, one: Fanout) -> bool:
    return do(store, lambda unit: unit.fanouts.postpone(one))


def begin_return(store: RelationalStore, author: UUID, at: datetime = NOW) -> bool:
    return do(store, lambda unit: unit.fanouts.begin_return(author, at))


def end_pull(store: RelationalStore, author: UUID, changed_at: datetime = NOW) -> bool:
    return do(store, lambda unit: unit.fanouts.end_pull(author, changed_at=changed_at))


def pulled(store: RelationalStore, author: UUID) -> PulledAuthor | None:
    return store.fanouts.situation(uuid4(), author).pulled


DONE = {"state": "done", "finished_at": LATER}
