"""The doctor finds external damage to feeds and counters, and repairs it under traffic."""

import os
import random
import re
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

import pytest

from app.container import Container
from app.doctor import Drift, Report, findings
from app.ids import uuid7
from app.worker.running import relay_of
from repositories.feeds.layout import Layout
from repositories.feeds.port import MAX_TOMBSTONES
from repositories.records.content import PostRef
from tests.system.crowd import befriend, defined, outboxes, people, served
from tests.system.drift.damage import Timelines, falsify_accounts, falsify_comments, falsify_likes
from tests.system.drift.world import ANY, Traffic, World, traffic

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
ID = r"([0-9a-f-]{36})"
Found = tuple[str, UUID, UUID]
Injected = dict[str, set[Found]]
# The number of accounts, each of which the doctor examines several times in a test.
ACCOUNTS = int(os.environ.get("QUARTET_DRIFT_ACCOUNTS", "24"))
FALSIFIED = ACCOUNTS // 2
EXAMINATIONS = 3 if os.environ.get("QUARTET_PROOFS") else 2
# The minimum of steps that the traffic has made while the doctor works.
STEPS = 20
MISSING, WRONG, AUTHOR_MISSING, AUTHOR_WRONG = "home missing", "home wrong", "author missing", "author wrong"
LINES = {
    MISSING: re.compile(f"home timeline of {ID}: post {ID} by {ID} is missing"),
    WRONG: re.compile(f"home timeline of {ID}: entry {ID} is wrong: .*"),
    AUTHOR_MISSING: re.compile(f"author timeline of {ID}: post {ID} by {ID} is missing"),
    AUTHOR_WRONG: re.compile(f"author timeline of {ID}: entry {ID} is wrong: .*"),
}


@pytest.fixture
def world(container: Container, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(findings, "PRINTED", 1_000_000)
    return World(container, accounts=ACCOUNTS, posts=10 * ACCOUNTS, movers=12, seed=11)


def examined(container: Container, *, repair: bool = True) -> tuple[Report, list[str]]:
    lines: list[str] = []
    return Drift(container, lines.append, repair=repair).everybody(), lines


def reported_entries(lines: Iterable[str]) -> set[Found]:
    return {
        (kind, UUID(match[1]), UUID(match[2]))
        for line in lines
        for kind, pattern in LINES.items()
        if (match := pattern.fullmatch(line))
    }


class RandomDamage:
    """Damages random rows, each once, and records what the doctor has to find, by kind of damage."""

    def __init__(self, world: World, rows: Timelines, chance: random.Random) -> None:
        self._world, self._rows, self._chance = world, rows, chance
        self._feeds = world.container.stores.feeds
        loaded = {post.id for post in world.posts}
        self._home = [
            (owner, ref) for owner in world.settled for ref in self._feeds.entries(owner) if ref.post_id in loaded
        ]
        self._authored = [PostRef(p.id, p.author_id) for p in world.posts if p.author_id in set(world.settled)]
        self._marked = {(owner, Layout().home.bucket(ref.post_id)) for owner, ref in self._home}
        self.injected: Injected = {}

    def unmark(self, count: int) -> None:
        """Remove markers. Must come first: entries of these buckets are then missing, and cannot be damaged further."""
        home, author = Layout().home, Layout().author
        places = sorted({(owner, home.bucket(ref.post_id)) for owner, ref in self._home})
        for owner, bucket in self._chance.sample(places, count):
            if self._rows.unmark_home(owner, bucket):
                self._marked.remove((owner, bucket))
                hidden = {e for e in self._home if e[0] == owner and home.bucket(e[1].post_id) == bucket}
                self._home = [entry for entry in self._home if entry not in hidden]
                self._note("home markers", {(MISSING, owner, ref.post_id) for _, ref in hidden})
        places = sorted({(ref.author_id, author.bucket(ref.post_id)) for ref in self._authored})
        for owner, bucket in self._chance.sample(places, count // 4):
            if self._rows.unmark_author(owner, bucket):
                gone = {r for r in self._authored if r.author_id == owner and author.bucket(r.post_id) == bucket}
                self._authored = [ref for ref in self._authored if ref not in gone]
                self._note("author markers", {(AUTHOR_MISSING, owner, ref.post_id) for ref in gone})

    def rows(self, count: int) -> None:
        for owner, ref in self._taken(count):
            self._rows.drop_home(owner, ref.post_id)
            self._note("home rows deleted", {(MISSING, owner, ref.post_id)})
        for owner, ref in self._taken(count):
            self._rows.alter_home(owner, ref.post_id, self._other(ref.author_id))
            self._note("home rows altered", {(WRONG, owner, ref.post_id)})
        for owner, ref in self._taken(count // 4):
            strange = self._unknown(ref)
            self._rows.add_home(owner, strange, ref.author_id)
            self._note("home rows made up", {(WRONG, owner, strange)})
        for owner, ref in self._taken(count // 4):
            reached = (owner, Layout().home.bucket(ref.post_id) - 1) in self._marked
            if reached and self._rows.misplace(owner, ref.post_id, ref.author_id):
                self._note("home rows misplaced", {(WRONG, owner, ref.post_id)})

    def author_rows(self, count: int) -> None:
        for ref in self._chance.sample(self._authored, count):
            self._rows.drop_author(ref.author_id, ref.post_id)
            self._note("author rows deleted", {(AUTHOR_MISSING, ref.author_id, ref.post_id)})
        for ref in self._chance.sample(self._authored, count // 2):
            strange = self._unknown(ref)
            self._rows.add_author(ref.author_id, strange)
            self._note("author rows made up", {(AUTHOR_WRONG, ref.author_id, strange)})

    def _taken(self, count: int) -> list[tuple[UUID, PostRef]]:
        self._chance.shuffle(self._home)
        taken, self._home = self._home[:count], self._home[count:]
        return taken

    def _other(self, author: UUID) -> UUID:
        return self._chance.choice([a for a in self._world.accounts if a != author])

    def _unknown(self, near: PostRef) -> UUID:
        return UUID(int=near.post_id.int ^ 1 << 40)

    def _note(self, kind: str, found: set[Found]) -> None:
        self.injected.setdefault(kind, set()).update(found)


def test_all_damage_is_found_and_repaired_while_serving(world: World, timelines: Timelines) -> None:
    container, chance = world.container, random.Random(5)  # noqa: S311 - test data
    with traffic(world):
        damage = RandomDamage(world, timelines, chance)
        damage.unmark(FALSIFIED)
        damage.rows(8 * ACCOUNTS)
        damage.author_rows(ACCOUNTS)
        falsify_accounts(container, chance.sample(world.settled, FALSIFIED), chance)
        liked, commented = (chance.sample([p.id for p in world.posts], ACCOUNTS) for _ in range(2))
        falsify_likes(container, liked)
        falsify_comments(container.settings.documents_url, commented)
        report, lines = examined(container)
        again, more = examined(container)
    told = reported_entries(lines)
    shares = {kind: (len(some & told), len(some)) for kind, some in damage.injected.items()}
    print(shares, *report.summary(1), sep="\n")  # noqa: T201 - the figures of the proof
    assert sum(f for f, _ in shares.values()) >= 0.999 * sum(n for _, n in shares.values()), shares
    assert all(found >= 0.999 * number for found, number in shares.values()), shares
    assert not told - set().union(*damage.injected.values()), "the doctor reported drift that was not injected"
    for kind, number in {"account": FALSIFIED, "like": ACCOUNTS, "comment": ACCOUNTS}.items():
        assert report.found[f"{kind} counters"] == number
    assert not report.unrepaired.total(), report.unrepaired
    assert (again.drift, more) == (0, [line for line in more if "left over" in line])
    assert_no_drift(world)


def assert_no_drift(world: World) -> None:
    while any(outbox.backlog().unsent for outbox in outboxes(world.container)):
        relay_of(world.container).drain()
    assert world.unequal(world.accounts) == []
    assert world.author_unequal() == []
    assert examined(world.container)[0].drift == 0


@pytest.mark.proof(on="engines")
def test_under_traffic_a_healthy_system_has_no_drift(world: World) -> None:
    with traffic(world, pause=0.03) as moves:
        reports = [examined(world.container) for _ in range(EXAMINATIONS)]
        while moves.steps < STEPS and not moves.errors:
            reports.append(examined(world.container))
    for report, lines in reports:
        assert report.drift == 0, [line for line in lines if "left over" not in line]


@pytest.mark.proof(on="engines")
def test_a_timeline_at_its_tombstone_budget_is_refilled(world: World) -> None:
    """Together two authors delete more than the tombstone budget of one bucket, although each deletes less."""
    container, authors = world.container, world.settled[:2]
    reader, each = people(container, 1)[0], MAX_TOMBSTONES // 2 + 10
    befriend(container, [reader], authors)
    doomed = [(a, post) for a in authors for post in world.burst(a, each, [reader])]
    for author, post in doomed:
        container.content.posts.delete(author, post, ANY)
    for _ in range(2):
        relay_of(container).drain()
    assert container.stores.relational.feed_activity.reader_state(reader).state == "awake"
    expected = container.stores.documents.posts.by_authors([reader, *authors], limit=9999)
    assert list(container.stores.feeds.entries(reader)) == expected
    report, lines = examined(container)
    assert (report.drift, lines) == (0, [])
    assert served(container, reader) == defined(container, reader)


@pytest.mark.proof(on="engines")
def test_undispatched_events_are_no_drift(world: World) -> None:
    container = world.container
    moves = Traffic(world)
    for _ in range(30):
        moves.posting()
        moves.following()
    lines: list[str] = []
    report = Drift(container, lines.append, repair=True).everybody()
    assert report.drift == 0, lines
    assert_no_drift(world)


@pytest.mark.proof(on="engines")
def test_without_repair_nothing_is_changed(world: World, timelines: Timelines) -> None:
    damage = RandomDamage(world, timelines, random.Random(6))  # noqa: S311 - test data
    damage.rows(8)
    first, lines = examined(world.container, repair=False)
    second, same = examined(world.container, repair=False)
    assert first.drift == len(set().union(*damage.injected.values()))
    assert Counter(lines) == Counter(same)
    assert second.drift == first.drift
    told = first.summary(1)[:-1]
    assert told == [f"{kind}: {many} found, {many} not repaired" for kind, many in sorted(first.found.items())]


@pytest.mark.proof(on="engines")
def test_a_lost_timeline_is_restored_in_batches(
    world: World, timelines: Timelines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.doctor.timeline_kind.MOST", 20)
    monkeypatch.setattr("app.doctor.comparing.BLOCK", 16)
    owner = world.settled[0]
    lost = list(world.container.stores.feeds.entries(owner))
    for ref in lost:
        timelines.drop_home(owner, ref.post_id)
    lines: list[str] = []
    report = Drift(world.container, lines.append, repair=True).one(owner)
    assert report.drift == len(lost) > 20
    assert world.unequal([owner]) == []


@pytest.mark.proof(on="engines")
def test_entries_of_authors_who_are_not_followed_are_no_drift(world: World, timelines: Timelines) -> None:
    container, owner = world.container, world.settled[0]
    followed = {owner, *container.stores.relational.graph.followees(owner)}
    stranger = next(p for p in world.posts if p.author_id not in followed)
    timelines.add_home(owner, stranger.id, stranger.author_id)
    report, lines = examined(container)
    assert report.drift == 0
    assert [line for line in lines if "left over" in line] == lines != []
    assert stranger.id not in {ref.post_id for ref in container.stores.feeds.entries(owner)}


@pytest.mark.proof(on="engines")
def test_readers_whose_feed_is_being_filled_have_no_drift(world: World, timelines: Timelines) -> None:
    container = world.container
    for owner in world.settled[:2]:
        for ref in list(container.stores.feeds.entries(owner))[:3]:
            timelines.drop_home(owner, ref.post_id)
    assert container.feeds.timeline_rebuild.request(world.settled[0])
    report, lines = examined(container, repair=False)
    assert report.drift == 3
    assert all(str(world.settled[1]) in line for line in lines)


@pytest.mark.proof(on="engines")
def test_entries_whose_deletion_is_not_dispatched_are_no_drift(world: World) -> None:
    container = world.container
    post = next(p for p in world.posts if p.author_id in world.settled)
    container.content.posts.delete(post.author_id, post.id, ANY)
    lines: list[str] = []
    report = Drift(container, lines.append, repair=True).everybody()
    assert (report.drift, lines) == (0, [])
    assert_no_drift(world)


@pytest.mark.proof(on="engines")
def test_only_entries_above_the_low_watermark_count_as_drift(world: World, timelines: Timelines) -> None:
    container, owner = world.container, world.settled[0]
    entries = list(container.stores.feeds.entries(owner))
    middle = len(entries) // 2
    with container.stores.relational.transaction() as tx:
        tx.feed_activity.raise_low_watermark(owner, entries[middle].post_id)
    for ref in (entries[middle], entries[middle + 1]):
        timelines.drop_home(owner, ref.post_id)
    report, lines = examined(container)
    assert report.drift == 1
    assert str(entries[middle].post_id) in lines[0]


@pytest.mark.proof(on="engines")
def test_an_altered_entry_with_a_future_write_time_is_repaired(world: World, timelines: Timelines) -> None:
    """An entry with a write time of tomorrow is overwritten with an even later one."""
    container, owner = world.container, world.settled[0]
    ref = next(iter(container.stores.feeds.entries(owner)))
    stranger = uuid7(container.kit.clock(), 7)
    tomorrow = container.kit.clock() + timedelta(days=1)
    container.stores.feeds.audit.restore_home(owner, [PostRef(ref.post_id, stranger)], tomorrow)
    report, _ = examined(container)
    assert (report.drift, report.unrepaired.total()) == (1, 0)
    assert world.unequal([owner]) == []
