"""The contract of the documents role: documents together with their unsent events.

The contract of outboxes has a separate suite.
"""

from threading import Event as Signal
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from repositories.documents import DocumentStore
from repositories.errors import Conflict, NotFound
from repositories.outbox import Claim
from repositories.records.content import Post
from repositories.records.events import Event
from tests.contracts.document_store import (
    NOW,
    a_post,
    an_event,
    at,
    at_once,
    commented,
    dispatch_all,
    edited,
    offered,
    published,
)


def claim(store: DocumentStore, seconds: float = 0, *, limit: int = 99) -> list[Claim]:
    return store.outbox.claim(now=at(seconds), lease_until=at(seconds + 60), limit=limit)


def ids(claims: list[Claim]) -> list[UUID]:
    return [one.event.id for one in claims]


def is_in_flight(store: DocumentStore, post: Post) -> bool:
    return bool(store.posts.in_flight([post.author_id], limit=1))


def with_events(store: DocumentStore, count: int) -> tuple[Post, list[Event]]:
    """A post with that many unsent events, one second apart."""
    post = a_post()
    events = [an_event(post.id, happened_at=at(n)) for n in range(count)]
    store.posts.add(post, events[0])
    for event in events[1:]:
        changed = replace(post, version=post.version + 1)
        store.posts.replace(changed, event, if_version=post.version)
        post = changed
    return post, events


def test_an_event_comes_out_as_it_was_written(store: DocumentStore) -> None:
    event = Event(uuid4(), "typ\0e 😀", "aggregate/é", at(0.000001), b'{"text": "\xc3\xa9\\u0000"}', "00-ab-cd-01")
    store.posts.add(a_post(), event)
    assert [one.event for one in claim(store, 1)] == [event]


def test_events_of_all_kinds_come_oldest_first(store: DocumentStore) -> None:
    post = a_post()
    store.posts.add(post, an_event(happened_at=at(1)))
    product_event = an_event(happened_at=at(0))
    offered_product = offered(store)
    store.products.delete(offered_product.id, product_event, if_version=1)
    store.comments.add(post.id, uuid4(), "Body", NOW, lambda _: an_event(happened_at=at(2)))
    claims = claim(store, 3)
    assert [one.event.happened_at for one in claims] == [at(0), at(0), at(1), at(2)]
    store.outbox.acknowledge(claims)
    assert store.outbox.backlog().unsent == 0


def test_events_of_one_document_come_in_order(store: DocumentStore) -> None:
    _, events = with_events(store, 5)
    first = claim(store, 9, limit=2)
    assert ids(first) == [event.id for event in events[:2]]
    assert claim(store, 9) == []
    store.outbox.acknowledge(first[:1])
    assert claim(store, 9) == []
    store.outbox.acknowledge(first[1:])
    assert ids(claim(store, 9)) == [event.id for event in events[2:]]


def test_the_limit_takes_the_oldest_of_all(store: DocumentStore) -> None:
    _, first = with_events(store, 3)
    _, second = with_events(store, 3)
    both = [event.id for pair in zip(first, second, strict=True) for event in pair]
    claims = claim(store, 9, limit=4)
    assert ids(claims) == both[:4]
    assert claim(store, 9) == []
    store.outbox.acknowledge(claims)
    assert ids(claim(store, 9)) == both[4:]


def test_events_written_while_leased_wait_and_survive(store: DocumentStore) -> None:
    post = published(store)
    claims = claim(store)
    edited(store, post)
    assert claim(store) == []
    store.outbox.acknowledge(claims)
    later = claim(store)
    assert len(later) == 1
    assert store.outbox.backlog().unsent == 1


def test_postponed_events_hold_back_the_later_ones(store: DocumentStore) -> None:
    _, events = with_events(store, 3)
    claims = claim(store, 5)
    store.outbox.postpone(claims[0], due=at(30), attempts=1)
    store.outbox.release(claims[1:])
    assert claim(store, 29) == []
    again = claim(store, 30)
    assert ids(again) == [event.id for event in events]
    assert [one.attempts for one in again] == [1, 0, 0]


def test_a_dead_lettered_event_does_not_hold_back_later_ones(store: DocumentStore) -> None:
    post, events = with_events(store, 2)
    (first,) = claim(store, 5, limit=1)
    store.outbox.dead_letter(first, reason="broken", attempts=9, now=at(6))
    assert ids(claim(store, 6)) == [events[1].id]
    assert [dead.event for dead in store.outbox.dead_letters(limit=9)] == [events[0]]
    assert is_in_flight(store, post)


def test_a_replayed_event_goes_before_the_later_ones(store: DocumentStore) -> None:
    post, events = with_events(store, 3)
    (first,) = claim(store, 5, limit=1)
    store.outbox.dead_letter(first, reason="broken", attempts=9, now=at(6))
    assert store.outbox.replay([events[0].id, uuid4()], now=at(7)) == 1
    again = claim(store, 7)
    assert ids(again) == [event.id for event in events]
    store.outbox.acknowledge(again)
    assert not is_in_flight(store, post)


def test_a_lost_lease_changes_nothing(store: DocumentStore) -> None:
    published(store)
    (mine,) = claim(store, 0)
    assert claim(store, 59.999999) == []
    (theirs,) = claim(store, 60)
    store.outbox.postpone(mine, due=at(500), attempts=5)
    store.outbox.dead_letter(mine, reason="late", attempts=5, now=at(61))
    store.outbox.release([mine])
    assert claim(store, 61) == []
    assert store.outbox.dead_letters(limit=9) == []
    store.outbox.release([theirs])
    assert [one.attempts for one in claim(store, 61)] == [0]


def test_acknowledging_also_removes_what_was_dead_lettered_since(store: DocumentStore) -> None:
    published(store)
    (mine,) = claim(store, 0)
    (theirs,) = claim(store, 60)
    store.outbox.dead_letter(theirs, reason="broken", attempts=9, now=at(61))
    store.outbox.acknowledge([mine])
    store.outbox.acknowledge([mine])
    assert store.outbox.dead_letters(limit=9) == []
    assert store.outbox.replay(None, now=at(62)) == 0


def test_claimers_never_share_an_event(store: DocumentStore) -> None:
    for _ in range(20):
        edited(store, published(store))
    results: list[list[Claim]] = at_once([lambda: claim(store, limit=7)] * 6)
    claimed = [one for claims in results for one in ids(claims)]
    assert len(claimed) == len(set(claimed))
    assert claimed


def test_relays_and_writers_together_lose_nothing(store: DocumentStore) -> None:
    posts = [published(store) for _ in range(4)]
    dispatched: list[list[Event]] = [[], []]
    finished = Signal()

    def write() -> None:
        for post in posts:
            changed = post
            for _ in range(5):
                changed = edited(store, changed)
        finished.set()

    def relay(dispatched: list[Event]) -> None:
        while True:
            last = finished.is_set()
            claims = claim(store, limit=3)
            dispatched += [one.event for one in claims]
            store.outbox.acknowledge(claims)
            if last and not claims and not store.outbox.backlog().unsent:
                return

    results = at_once([write, lambda: relay(dispatched[0]), lambda: relay(dispatched[1])])
    assert results == [None] * 3
    everything = sorted(event.id for events in dispatched for event in events)
    assert len(everything) == len(set(everything)) == 4 * 6
    for events in dispatched:
        for post in posts:
            of_post = [event.id for event in events if event.aggregate == str(post.id)]
            assert of_post == sorted(of_post)


def test_a_post_is_in_flight_until_its_first_event_is_acknowledged(store: DocumentStore) -> None:
    post = edited(store, published(store))
    assert is_in_flight(store, post)
    claims = claim(store)
    assert is_in_flight(store, post)
    store.outbox.acknowledge(claims[1:])
    assert is_in_flight(store, post)
    store.outbox.acknowledge(claims[:1])
    assert not is_in_flight(store, post)
    edited(store, post)
    assert not is_in_flight(store, post)


def test_a_tombstone_goes_with_its_last_event(store: DocumentStore) -> None:
    post = published(store)
    store.posts.delete(post.id, an_event(), if_version=1)
    assert not is_in_flight(store, post)
    first, second = claim(store)
    store.outbox.acknowledge([first])
    with pytest.raises(Conflict):
        store.posts.add(post, an_event())
    store.outbox.acknowledge([second])
    store.posts.add(post, an_event())
    assert store.posts.get([post.id]) == {post.id: post}


def test_a_dead_lettered_event_keeps_the_tombstone(store: DocumentStore) -> None:
    post = published(store)
    store.posts.delete(post.id, an_event(), if_version=1)
    first, second = claim(store)
    store.outbox.dead_letter(first, reason="broken", attempts=9, now=NOW)
    store.outbox.acknowledge([second])
    with pytest.raises(Conflict):
        store.posts.add(post, an_event())
    assert store.outbox.replay(None, now=NOW) == 1
    assert len(dispatch_all(store)) == 1
    store.posts.add(post, an_event())


def test_the_events_of_a_comment_come_in_order(store: DocumentStore) -> None:
    post = published(store)
    dispatch_all(store)
    commented(store, post)
    end = an_event()
    store.comments.delete(post.id, 1, end)
    assert [event.type for event in dispatch_all(store)] == ["commented", "changed"]
    with pytest.raises(NotFound):
        store.comments.delete(post.id, 1, an_event())


def test_the_backlog_counts_events(store: DocumentStore) -> None:
    assert store.outbox.backlog().oldest is None
    post, events = with_events(store, 3)
    commented(store, post)
    backlog = store.outbox.backlog()
    assert (backlog.unsent, backlog.dead_lettered, backlog.oldest) == (4, 0, events[0].happened_at)
    claims = claim(store, 5)
    dead = next(one for one in claims if one.event.id == events[0].id)
    store.outbox.dead_letter(dead, reason="broken", attempts=1, now=at(6))
    backlog = store.outbox.backlog()
    assert (backlog.unsent, backlog.dead_lettered) == (3, 1)
    store.outbox.acknowledge(claims)
    assert store.outbox.backlog() == type(backlog)(0, 0, None)
