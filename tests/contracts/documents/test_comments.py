"""The contract of the documents role: comments."""

from functools import partial
from uuid import uuid4

import pytest

from repositories.documents import DocumentStore
from repositories.errors import NotFound
from repositories.records.content import Comment
from repositories.records.events import Event
from tests.contracts.document_store import (
    NOW,
    SURROGATE,
    TEXTS,
    a_comment,
    a_post,
    an_event,
    announced,
    at,
    at_once,
    commented,
    dispatch_all,
    edited,
    miscount,
    published,
)


@pytest.mark.parametrize("text", TEXTS)
def test_a_comment_comes_back_as_it_was(store: DocumentStore, text: str) -> None:
    post, author = published(store), uuid4()
    comment = store.comments.add(post.id, author, text, at(0.000001), announced)
    assert comment == Comment(post.id, 1, author, text, at(0.000001))
    assert store.comments.get(post.id, 1) == comment
    assert store.comments.page(post.id, after=None, limit=9) == [comment]


def test_comments_are_numbered_per_post(store: DocumentStore) -> None:
    first, second = published(store), published(store)
    assert [commented(store, post).number for post in (first, first, second, first)] == [1, 2, 1, 3]
    assert store.comments.counts([first.id, second.id]) == {first.id: 3, second.id: 1}


def test_the_event_is_made_of_the_numbered_comment(store: DocumentStore) -> None:
    post = published(store)
    dispatch_all(store)
    dispatched: list[tuple[Comment, Event]] = []

    def announce(comment: Comment) -> Event:
        dispatched.append((comment, announced(comment)))
        return dispatched[-1][1]

    comment = store.comments.add(post.id, uuid4(), "Body", NOW, announce)
    assert dispatched[-1][0] == comment
    assert dispatch_all(store) == [dispatched[-1][1]]


def test_a_comment_whose_event_fails_is_not_there(store: DocumentStore) -> None:
    post = published(store)

    def fails(comment: Comment) -> Event:
        raise LookupError(comment.number)

    with pytest.raises(LookupError):
        store.comments.add(post.id, uuid4(), "Body", NOW, fails)
    with pytest.raises(Exception, match="surrogates"):
        commented(store, post, SURROGATE)
    assert store.comments.page(post.id, after=None, limit=9) == []
    assert store.comments.counts([post.id]) == {post.id: 0}
    assert commented(store, post).number == 1


def test_a_missing_post_cannot_be_commented_on(store: DocumentStore) -> None:
    gone = published(store)
    store.posts.delete(gone.id, an_event(), if_version=1)
    for post in (gone, a_post()):
        with pytest.raises(NotFound):
            commented(store, post)
    dispatch_all(store)
    with pytest.raises(NotFound):
        commented(store, gone)


def test_many_concurrent_comments_are_numbered(store: DocumentStore) -> None:
    post = published(store)
    results = at_once([partial(commented, store, post, str(n)) for n in range(32)])
    assert sorted(comment.number for comment in results) == list(range(1, 33))
    assert store.comments.page(post.id, after=None, limit=99) == sorted(results, key=lambda c: c.number)
    assert store.comments.counts([post.id]) == {post.id: 32}


def test_pages_run_by_number(store: DocumentStore) -> None:
    post, other = published(store), published(store)
    comments = [commented(store, post) for _ in range(12)]
    commented(store, other)
    assert store.comments.page(post.id, after=None, limit=5) == comments[:5]
    assert store.comments.page(post.id, after=5, limit=5) == comments[5:10]
    assert store.comments.page(post.id, after=10, limit=5) == comments[10:]
    assert store.comments.page(post.id, after=12, limit=5) == []
    assert store.comments.page(post.id, after=None, limit=0) == []


def test_paging_has_no_gap_while_others_comment(store: DocumentStore) -> None:
    post = published(store)
    seen: list[int] = []

    def read() -> None:
        while len(seen) < 24:
            after = seen[-1] if seen else None
            seen.extend(comment.number for comment in store.comments.page(post.id, after=after, limit=5))

    def write() -> None:
        for _ in range(6):
            commented(store, post)

    assert at_once([read, write, write, write, write]) == [None] * 5
    assert seen == list(range(1, 25))


def test_counts_have_an_entry_for_each_post(store: DocumentStore) -> None:
    post, quiet, missing = published(store), published(store), uuid4()
    commented(store, post)
    counts = {post.id: 1, quiet.id: 0, missing: 0}
    assert store.comments.counts([*counts, post.id]) == counts
    assert store.comments.counts([]) == {}


def test_the_number_of_a_deleted_comment_is_not_reused(store: DocumentStore) -> None:
    post = published(store)
    comments = [commented(store, post) for _ in range(3)]
    store.comments.delete(post.id, 3, an_event())
    store.comments.delete(post.id, 1, an_event())
    assert store.comments.get(post.id, 3) is None
    assert store.comments.page(post.id, after=None, limit=9) == comments[1:2]
    assert store.comments.counts([post.id]) == {post.id: 1}
    assert commented(store, post).number == 4
    dispatch_all(store)
    assert commented(store, post).number == 5
    assert [c.number for c in store.comments.page(post.id, after=None, limit=9)] == [2, 4, 5]


def test_a_comment_that_is_not_there_cannot_be_deleted(store: DocumentStore) -> None:
    post = published(store)
    commented(store, post)
    store.comments.delete(post.id, 1, an_event())
    for post_id, number in ((post.id, 1), (post.id, 2), (uuid4(), 1)):
        with pytest.raises(NotFound):
            store.comments.delete(post_id, number, an_event())
    assert store.comments.counts([post.id]) == {post.id: 0}
    assert len(dispatch_all(store)) == 3


def test_one_of_two_deleters_wins(store: DocumentStore) -> None:
    post = published(store)
    commented(store, post)
    results = at_once([lambda: store.comments.delete(post.id, 1, an_event())] * 8)
    assert sorted(type(result).__name__ for result in results) == ["NoneType", *["NotFound"] * 7]
    assert store.comments.counts([post.id]) == {post.id: 0}


def test_comments_vanish_with_their_post(store: DocumentStore) -> None:
    post = published(store)
    commented(store, post)
    store.posts.delete(post.id, an_event(), if_version=1)
    for _ in range(2):
        assert store.comments.get(post.id, 1) is None
        assert store.comments.page(post.id, after=None, limit=9) == []
        assert store.comments.counts([post.id]) == {post.id: 0}
        with pytest.raises(NotFound):
            store.comments.delete(post.id, 1, an_event())
        dispatch_all(store)


def test_a_comment_and_the_deletion_of_its_post_race(store: DocumentStore) -> None:
    for _ in range(5):
        post = published(store)
        dispatch_all(store)
        delete = partial(store.posts.delete, post.id, an_event(), if_version=1)
        added, deleted = at_once([partial(commented, store, post), delete])
        assert deleted is None
        assert isinstance(added, Comment | NotFound)
        assert len(dispatch_all(store)) == 1 + isinstance(added, Comment)


def test_a_later_post_of_the_same_id_has_none_of_the_old_comments(store: DocumentStore) -> None:
    post = published(store)
    for _ in range(3):
        commented(store, post)
    dispatch_all(store)
    store.comments.delete(post.id, 2, an_event())
    store.posts.delete(post.id, an_event(), if_version=1)
    dispatch_all(store)
    store.posts.add(post, an_event())
    assert store.comments.page(post.id, after=None, limit=9) == []
    assert [commented(store, post).number for _ in range(3)] == [1, 2, 3]


def test_comments_of_a_deleted_post_are_still_dispatched(store: DocumentStore) -> None:
    post = published(store)
    dispatched = dispatch_all(store)
    for _ in range(3):
        commented(store, post)
    store.posts.delete(post.id, an_event(), if_version=1)
    claims = store.outbox.claim(now=NOW, lease_until=at(60), limit=9)
    store.outbox.acknowledge([claim for claim in claims if claim.event.type == "changed"])
    assert store.outbox.backlog().unsent == 3
    store.outbox.acknowledge(claims)
    assert store.outbox.backlog().unsent == 0
    assert len(dispatched) == 1


def test_a_comment_leaves_the_version_of_its_post_alone(store: DocumentStore) -> None:
    post = published(store)
    commented(store, post)
    assert edited(store, post).version == 2


def test_loaded_comments_are_counted_once(store: DocumentStore) -> None:
    post, other = published(store), published(store)
    kept = commented(store, post, "kept")
    comments = [a_comment(post.id, number) for number in (1, 2, 5)] + [a_comment(other.id, 3)]
    dispatch_all(store)
    for _ in range(2):
        store.comments.load([*comments, comments[1], a_comment(uuid4(), 1)])
    assert store.comments.page(post.id, after=None, limit=9) == [kept, *comments[1:3]]
    assert store.comments.counts([post.id, other.id]) == {post.id: 3, other.id: 1}
    assert commented(store, post).number == 6
    assert commented(store, other).number == 4
    assert store.outbox.backlog().unsent == 2
    store.comments.load([])


def test_loading_beside_writers_counts_right(store: DocumentStore) -> None:
    post = published(store)
    batches = [[a_comment(post.id, number) for number in range(start, start + 50)] for start in (1, 26, 51)]
    loads = [partial(store.comments.load, batch) for batch in batches]
    results = at_once([*loads, *[lambda: commented(store, post)] * 5])
    assert [result for result in results if isinstance(result, Exception)] == []
    found = store.comments.page(post.id, after=None, limit=999)
    assert store.comments.counts([post.id]) == {post.id: len(found)}
    assert {comment.number for comment in found} >= set(range(1, 101))


def test_recount_finds_and_repairs_what_was_miscounted(store: DocumentStore) -> None:
    many, few, none, right, gone = (published(store) for _ in range(5))
    store.comments.load([a_comment(post.id, n) for post in (many, right, gone) for n in (1, 2, 3, 4)])
    commented(store, few)
    store.comments.delete(many.id, 2, an_event())
    for post, kept in ((many, 99), (few, 0), (none, 2), (gone, 7)):
        miscount(store, post, kept)
    store.posts.delete(gone.id, an_event(), if_version=1)
    ids = [post.id for post in (many, few, none, right, gone)]
    wrong = {many.id: (99, 3), few.id: (0, 1), none.id: (2, 0)}
    assert store.comments.recount([*ids, ids[0], uuid4()], repair=False) == wrong
    assert store.comments.counts(ids[:3]) == {many.id: 99, few.id: 0, none.id: 2}
    assert store.comments.recount(ids, repair=True) == wrong
    assert store.comments.recount(ids, repair=True) == store.comments.recount([], repair=True) == {}
    assert store.comments.counts(ids[:4]) == {many.id: 3, few.id: 1, none.id: 0, right.id: 4}
    assert commented(store, many).number == 5
    assert store.comments.counts([many.id]) == {many.id: 4}


def test_more_posts_are_recounted_than_one_batch(store: DocumentStore) -> None:
    posts = [a_post() for _ in range(250)]
    store.posts.load(posts)
    for post in posts[::50]:
        miscount(store, post, 1)
    assert store.comments.recount([post.id for post in posts], repair=True) == {p.id: (1, 0) for p in posts[::50]}


def test_recounting_beside_writers_finds_nothing_wrong(store: DocumentStore) -> None:
    posts = [published(store) for _ in range(3)]
    ids = [post.id for post in posts]
    recounts = [partial(store.comments.recount, ids, repair=repair) for repair in (False, True) * 4]
    results = at_once([*recounts, *(partial(commented, store, post) for post in posts * 4)])
    assert [result for result in results if not isinstance(result, Comment)] == [{}] * 8
    assert store.comments.counts(ids) == dict.fromkeys(ids, 4)


def test_more_comments_than_one_batch(store: DocumentStore) -> None:
    post = published(store)
    store.comments.load([a_comment(post.id, number) for number in range(1, 2502)])
    assert store.comments.counts([post.id]) == {post.id: 2501}
    assert [c.number for c in store.comments.page(post.id, after=2499, limit=9)] == [2500, 2501]
