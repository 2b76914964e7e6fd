"""The contract of the documents role: reading posts by many authors, those in flight and all."""

import random
from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest

from repositories.documents import DocumentStore
from repositories.records.content import Post, PostRef
from tests.contracts.document_store import a_post, an_event, dispatch_all, edited, published


def ref(post: Post) -> PostRef:
    return PostRef(post.id, post.author_id)


def test_by_authors_runs_in_the_direction_of_travel(store: DocumentStore) -> None:
    ada, bob = uuid4(), uuid4()
    refs = [ref(published(store, author_id=who)) for who in (ada, bob, ada, uuid4(), bob)]
    wanted = [found for found in refs if found.author_id in {ada, bob}]
    both = [ada, bob, uuid4()]
    assert store.posts.by_authors(both, limit=2) == wanted[::-1][:2]
    assert store.posts.by_authors(both, before=wanted[2].post_id, limit=9) == [wanted[1], wanted[0]]
    assert store.posts.by_authors(both, after=wanted[0].post_id, limit=2) == wanted[1:3]
    assert store.posts.by_authors(both, after=wanted[3].post_id, limit=2) == []
    assert store.posts.by_authors([], limit=2) == []
    assert store.posts.by_authors(both, limit=0) == []
    assert store.posts.in_flight(both, after=wanted[0].post_id, limit=2) == wanted[1:3]
    assert store.posts.in_flight(both, before=wanted[2].post_id, limit=9) == [wanted[1], wanted[0]]


def test_ten_thousand_authors(store: DocumentStore) -> None:
    authors = [uuid4() for _ in range(10_000)]
    refs = [ref(published(store, author_id=author)) for author in authors[::2000]][::-1]
    assert store.posts.by_authors(authors, limit=3) == refs[:3]
    assert store.posts.in_flight(authors, before=refs[0].post_id, limit=9) == refs[1:]
    assert sum(store.posts.counts(authors).values()) == 5


@pytest.mark.parametrize("in_flight", [False, True])
def test_any_number_of_authors_has_the_result_of_a_plain_search(store: DocumentStore, *, in_flight: bool) -> None:
    chance = random.Random(7)  # noqa: S311  data of a test
    authors = [UUID(int=chance.getrandbits(128)) for _ in range(300)]
    posts = [a_post(id=UUID(int=chance.getrandbits(128)), author_id=skewed(authors, chance)) for _ in range(900)]
    if in_flight:
        for post in posts[:200]:
            store.posts.add(post, an_event())
    store.posts.load(posts)
    refs = sorted((ref(post) for post in posts[: 200 if in_flight else None]), key=lambda found: found.post_id)
    search = store.posts.in_flight if in_flight else store.posts.by_authors
    for number, limit in ((1, 250), (2, 1), (30, 7), (199, 21), (200, 250), (201, 1), (201, 21), (300, 7), (300, 250)):
        some = chance.sample(authors, number)
        wanted = [found for found in refs if found.author_id in set(some)]
        mark = chance.choice(refs).post_id
        below = [found for found in wanted if found.post_id < mark]
        above = [found for found in wanted if found.post_id > mark]
        strangers = [uuid4() for _ in range(number)]
        assert search([*some, *strangers, some[0]], limit=limit) == wanted[::-1][:limit]
        assert search(set(some), before=mark, limit=limit) == below[::-1][:limit]
        assert search(some + some, after=mark, limit=limit) == above[:limit]
        assert search(strangers, limit=limit) == []


def skewed(authors: Sequence[UUID], chance: random.Random) -> UUID:
    """Choose an author. The earlier ones in the list are more likely, and the last tenth is never chosen."""
    return authors[int(270 * chance.random() ** 2)]


def test_in_flight_of_all_authors(store: DocumentStore) -> None:
    dispatched = published(store)
    dispatch_all(store)
    posts = [published(store, author_id=dispatched.author_id if n == 1 else uuid4()) for n in range(5)]
    gone = published(store)
    store.posts.delete(gone.id, an_event(), if_version=1)
    store.posts.load([a_post()])
    edited(store, dispatched)
    refs = [ref(post) for post in posts]
    assert store.posts.in_flight(None, limit=200) == refs[::-1]
    assert store.posts.in_flight(None, limit=2) == refs[:2:-1]
    assert store.posts.in_flight(None, before=posts[2].id, limit=9) == refs[1::-1]
    assert store.posts.in_flight(None, after=posts[2].id, limit=1) == refs[3:4]
    assert store.posts.in_flight(None, limit=0) == store.posts.in_flight([], limit=9) == []
    dispatch_all(store)
    assert store.posts.in_flight(None, limit=200) == []


def test_ids_lists_every_post(store: DocumentStore) -> None:
    ids = [UUID(int=n) for n in (0, 1, 2**64, 2**127, 2**128 - 2, 2**128 - 1)]
    posts = [published(store, id=post_id) for post_id in reversed(ids)][::-1]
    store.posts.load(loaded := [a_post()])
    store.posts.delete(posts[2].id, an_event(), if_version=1)
    refs = sorted((ref(post) for post in [*posts[:2], *posts[3:], *loaded]), key=lambda found: found.post_id)
    assert store.posts.ids(after=None, limit=99) == refs
    assert store.posts.ids(after=None, limit=2) == refs[:2]
    assert store.posts.ids(after=refs[0].post_id, limit=2) == refs[1:3]
    assert store.posts.ids(after=posts[2].id, limit=9) == refs[2:]
    assert store.posts.ids(after=ids[-1], limit=9) == store.posts.ids(after=None, limit=0) == []
