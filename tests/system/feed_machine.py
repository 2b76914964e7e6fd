"""Random histories of feeds, and what a feed must show after every step.

Definition: the posts by the reader and the followees, newest first, without deleted ones. The relay dies between any
two calls to the stores; fan-outs are pushed, pulled, or postponed and completed; readers become dormant, wake, and
their timelines are filled again.
"""

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from app.errors import Forbidden
from app.services.commands.precondition import Precondition
from app.services.content.posts import PostDraft
from app.services.feeds.kept_states import STATE_SECONDS
from app.services.feeds.page_windows import Window
from app.services.feeds.timeline_rebuild import SKEW
from app.services.feeds.upward_cursor import FeedCursor
from repositories.records.people import Account, Login
from tests.system.feed_world import World

PEOPLE = 4
ANY = Precondition(given=True, any=True)
MONTH = timedelta(days=31).total_seconds()
LONGER_THAN_SKEW = 2 * SKEW.total_seconds()
# Small limits, so that a few people with a few posts trigger every mechanism.
SMALL = {
    "backfill_posts": 2,
    "fanout_chunk": 2,
    "fanout_slice_seconds": 0.0,
    "pull_threshold": 10,
    "pull_seconds": 0.0,
    "deliveries_per_second": 15,
    "rebuild_posts": 3,
}
person = st.integers(0, PEOPLE - 1)


class FeedMachine(RuleBasedStateMachine):
    world: World

    @initialize(history=st.integers(0, 8))
    def begin(self, history: int) -> None:
        self.container = self.world.container
        self.people = [self.container.kit.ids() for _ in range(PEOPLE)]
        with self.container.stores.relational.transaction() as tx:
            for who in self.people:
                name = f"p{who.hex[-20:]}"
                account = Account(who, name, name, "", None, self.container.kit.clock(), 1)
                tx.accounts.add(account, Login(who, f"{name}@example.com", "-"))
        self.world.is_cut_off = False
        self.follows: set[tuple[int, int]] = set()
        self.blocks: set[tuple[int, int]] = set()
        self.posts: dict[UUID, int] = {}
        self.steps = 0
        if history:
            self.everybody_follows(0)
            self.publish(0, history)
            self.relay_everything()

    @rule(a=person, b=person)
    def follow(self, a: int, b: int) -> None:
        if a == b:
            return
        if {(a, b), (b, a)} & self.blocks:
            with pytest.raises(Forbidden):
                self.container.people.graph.follow(self.people[a], self.people[b])
            return
        self.container.people.graph.follow(self.people[a], self.people[b])
        self.follows.add((a, b))

    @rule(a=person)
    def everybody_follows(self, a: int) -> None:
        for b in range(PEOPLE):
            self.follow(b, a)

    @rule(a=person, b=person, how=st.sampled_from(["unfollow", "block", "unblock"]))
    def fall_out(self, a: int, b: int, how: str) -> None:
        if a == b:
            return
        getattr(self.container.people.graph, how)(self.people[a], self.people[b])
        if how == "unfollow":
            self.follows.discard((a, b))
        elif how == "block":
            self.blocks.add((a, b))
            self.follows -= {(a, b), (b, a)}
        else:
            self.blocks.discard((a, b))

    @rule(a=person, count=st.integers(1, 4))
    def publish(self, a: int, count: int) -> None:
        for _ in range(count):
            post = self.container.content.posts.publish(self.people[a], PostDraft("t", "b"))
            self.posts[post.id] = a

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        if self.posts:
            post = data.draw(st.sampled_from(sorted(self.posts)))
            self.container.content.posts.delete(self.people[self.posts.pop(post)], post, ANY)

    @rule(a=person, pulled=st.booleans())
    def switch(self, a: int, *, pulled: bool) -> None:
        if pulled:
            with self.container.stores.relational.transaction() as tx:
                tx.fanouts.pull(self.people[a], at=self.container.kit.clock(), reason="threshold")
        else:
            self.container.feeds.pulling.begin_return(self.people[a])

    @rule(a=person, how=st.sampled_from(["rebuild", "look"]))
    def read(self, a: int, how: str) -> None:
        if how == "rebuild":
            self.world.clock.forward(LONGER_THAN_SKEW)
            self.container.feeds.timeline_rebuild.request(self.people[a])
            self.relay_everything()
        else:
            self.container.pages.cards.home(self.people[a], Window(limit=3))

    @rule(count=st.integers(1, PEOPLE))
    def sleep(self, count: int) -> None:
        # By then all kept states have expired; a reader with a kept state does not become dormant.
        self.world.clock.forward(LONGER_THAN_SKEW + STATE_SECONDS.total_seconds())
        with self.container.stores.relational.transaction() as tx:
            asleep = tx.feed_activity.sleep(seen_before=self.container.kit.clock(), limit=count)
        for who in asleep:
            self.container.stores.feeds.trim(who, self.container.kit.clock() - SKEW)

    @rule(seconds=st.sampled_from([1, 2, 5, MONTH]))
    def time_passes(self, seconds: float) -> None:
        self.world.clock.forward(seconds)
        self.world.seconds.now += seconds

    @rule()
    def relay_a_little(self) -> None:
        self.world.relay().round()

    @rule()
    def relay_everything(self) -> None:
        self.world.relay().drain()

    @rule(author=person)
    def a_day_of_work(self, author: int) -> None:
        """Publish a post, dispatch everything, and run the sweeper."""
        self.publish(author, 1)
        self.world.seconds.now += 1
        self.world.relay().drain()
        self.world.sweeps()

    @rule(calls=st.integers(0, 60))
    def the_relay_dies(self, calls: int) -> None:
        self.world.dies(calls)

    @rule(away=st.sampled_from([True, False, None]))
    def the_cache(self, *, away: bool | None) -> None:
        """Make the cache unreachable for the relay, reachable again, or (None) empty."""
        if away is None:
            self.container.stores.cache.void()
        else:
            self.world.is_cut_off = away

    @invariant()
    def served_is_defined(self) -> None:
        self.steps += 1
        size = 1 + self.steps % 7
        for reader in range(PEOPLE):
            authors = {reader} | {b for a, b in self.follows if a == reader}
            defined = sorted((p for p, author in self.posts.items() if author in authors), reverse=True)
            assert list(self._down(reader, size)) == defined
            # The first of these uses what earlier requests have kept.
            assert [self.world.first_page(self.people[reader], 3) for _ in range(2)] == [defined[:3]] * 2
            if self.steps % PEOPLE == reader and defined:
                assert list(self._up(reader, size, defined[-1])) == defined[::-1][1:]

    def _down(self, reader: int, size: int) -> Iterator[UUID]:
        window = Window(limit=size)
        while True:
            page = self.world.cards.home(self.people[reader], window)
            assert len(page.ids) <= size
            yield from page.ids
            if page.onward is None:
                return
            window = Window(limit=size, before=page.onward)

    def _up(self, reader: int, size: int, oldest: UUID) -> Iterator[UUID]:
        """Page upward from the oldest post, without it, by the cursors of the API."""
        cursor = FeedCursor(oldest)
        while True:
            window = Window(limit=size, after=cursor.after, hidden=frozenset(cursor.seen))
            page = self.world.cards.home(self.people[reader], window)
            yield from reversed(page.ids)
            reached = self.world.unnoticed.cursor(cursor, page)
            assert reached is not None
            if page.onward is None:
                return
            assert reached != cursor, "the cursor does not advance"
            cursor = reached


def run_machine(world: World, *, examples: int, steps: int) -> None:
    machine = type("Machine", (FeedMachine,), {"world": world})
    profile = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=profile)
