"""The served feed equals the definition after every step, whatever the relay has done so far.

Definition: posts by oneself and by whom one follows, newest first, without deleted ones.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from app.errors import Forbidden
from app.services.posts import PostDraft
from app.services.precondition import Precondition
from app.services.timelines import Window
from config import Settings
from repositories.records import Account, Login
from tests.apps import System, embedded, running

PEOPLE = 3
ANY = Precondition(given=True, any=True)
person = st.integers(0, PEOPLE - 1)


class Ticking:
    """A clock that moves a millisecond each time it is read."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC) - timedelta(days=1)

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now


class FeedMachine(RuleBasedStateMachine):
    system: System

    @initialize()
    def begin(self) -> None:
        self.container = self.system.container
        self.people = [self.container.ids() for _ in range(PEOPLE)]
        with self.container.stores.relational.transaction() as tx:
            for who in self.people:
                name = f"p{who.hex[-20:]}"
                account = Account(who, name, name, "", None, self.container.clock(), 1)
                tx.accounts.add(account, Login(who, f"{name}@example.com", "-"))
        self.follows: set[tuple[int, int]] = set()
        self.blocks: set[tuple[int, int]] = set()
        self.posts: dict[UUID, int] = {}

    @rule(a=person, b=person)
    def follow(self, a: int, b: int) -> None:
        if a == b:
            return
        if {(a, b), (b, a)} & self.blocks:
            with pytest.raises(Forbidden):
                self.container.graph.follow(self.people[a], self.people[b])
            return
        self.container.graph.follow(self.people[a], self.people[b])
        self.follows.add((a, b))

    @rule(a=person, b=person)
    def unfollow(self, a: int, b: int) -> None:
        if a != b:
            self.container.graph.unfollow(self.people[a], self.people[b])
            self.follows.discard((a, b))

    @rule(a=person, b=person)
    def block(self, a: int, b: int) -> None:
        if a != b:
            self.container.graph.block(self.people[a], self.people[b])
            self.blocks.add((a, b))
            self.follows -= {(a, b), (b, a)}

    @rule(a=person, b=person)
    def unblock(self, a: int, b: int) -> None:
        if a != b:
            self.container.graph.unblock(self.people[a], self.people[b])
            self.blocks.discard((a, b))

    @rule(a=person, count=st.integers(1, 3))
    def publish(self, a: int, count: int) -> None:
        for _ in range(count):
            post = self.container.posts.publish(self.people[a], PostDraft("t", "b"))
            self.posts[post.id] = a

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        if self.posts:
            post = data.draw(st.sampled_from(sorted(self.posts)))
            self.container.posts.delete(self.people[self.posts.pop(post)], post, ANY)

    @rule()
    def relay_a_little(self) -> None:
        self.system.relay.round()

    @rule()
    def relay_everything(self) -> None:
        self.system.relay.drain()

    @invariant()
    def served_is_defined(self) -> None:
        for reader in range(PEOPLE):
            authors = {reader} | {b for a, b in self.follows if a == reader}
            defined = sorted((p for p, author in self.posts.items() if author in authors), reverse=True)
            for size in (1 + len(self.posts) % 7, 100):
                assert list(self._down(reader, size)) == defined
            assert list(self._up(reader, 3)) == defined[::-1][1:]

    def _down(self, reader: int, size: int) -> Iterator[UUID]:
        window = Window(limit=size)
        while True:
            page = self.container.timelines.home(self.people[reader], window)
            yield from (p.id for p in page.posts)
            if page.onward is None:
                return
            window = Window(limit=size, before=page.onward)

    def _up(self, reader: int, size: int) -> Iterator[UUID]:
        """From the oldest post upward, without it."""
        oldest = list(self._down(reader, 100))[-1:]
        after = oldest[0] if oldest else None
        while after is not None:
            page = self.container.timelines.home(self.people[reader], Window(limit=size, after=after))
            yield from (p.id for p in reversed(page.posts))
            after = page.onward


def run_machine(system: System, *, examples: int, steps: int) -> None:
    machine = type("Machine", (FeedMachine,), {"system": system})
    profile = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=profile)


def test_the_embedded_feed_is_the_defined_one() -> None:
    with (
        TemporaryDirectory() as directory,
        running(Settings(**embedded(Path(directory)), backfill_posts=2, fanout_chunk=2), Ticking()) as system,
    ):
        run_machine(system, examples=40, steps=30)
