"""The contract of the documents role: posts."""

from functools import partial
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from repositories.documents import DocumentStore
from repositories.errors import Conflict, NotFound, Stale, StoreError
from repositories.records.content import Post, PostRef, TagCount
from tests.contracts.document_store import (
    a_comment,
    a_post,
    an_event,
    at,
    at_once,
    commented,
    dispatch_all,
    edited,
    fresh_id,
    published,
)


def ref(post: Post) -> PostRef:
    return PostRef(post.id, post.author_id)


def test_get_leaves_out_missing_posts(store: DocumentStore) -> None:
    posts = [published(store) for _ in range(3)]
    store.posts.delete(posts[1].id, an_event(), if_version=1)
    wanted = [uuid4(), *(post.id for post in posts), posts[0].id]
    assert store.posts.get(wanted) == {posts[0].id: posts[0], posts[2].id: posts[2]}
    assert store.posts.get([]) == {}


def test_an_id_is_taken_once(store: DocumentStore) -> None:
    post = published(store, title="first")
    with pytest.raises(Conflict) as caught:
        store.posts.add(replace(post, title="second"), an_event())
    assert caught.value.field == "id"
    assert store.posts.get([post.id]) == {post.id: post}
    assert len(dispatch_all(store)) == 1


def test_the_id_of_a_tombstone_is_taken(store: DocumentStore) -> None:
    post = published(store)
    store.posts.delete(post.id, an_event(), if_version=1)
    with pytest.raises(Conflict):
        store.posts.add(post, an_event())


def test_replace_leaves_the_comment_count_and_the_flight_alone(store: DocumentStore) -> None:
    post = published(store, tags=("old", "both"))
    commented(store, post)
    changed = edited(store, post, title="new", tags=("both", "new"), product_ids=(uuid4(),), updated_at=at(1))
    assert store.posts.get([post.id]) == {post.id: changed}
    assert store.posts.tags(after=None, limit=9) == [TagCount("both", 1), TagCount("new", 1)]
    assert store.comments.counts([post.id]) == {post.id: 1}
    assert store.posts.in_flight([post.author_id], limit=9) == [ref(post)]


def test_an_old_version_is_stale(store: DocumentStore) -> None:
    post = published(store)
    changed = edited(store, post)
    with pytest.raises(Stale):
        edited(store, post, title="late")
    with pytest.raises(Stale):
        store.posts.delete(post.id, an_event(), if_version=1)
    assert store.posts.get([post.id]) == {post.id: changed}
    assert len(dispatch_all(store)) == 2


def test_a_missing_post_cannot_be_changed(store: DocumentStore) -> None:
    gone = published(store)
    store.posts.delete(gone.id, an_event(), if_version=1)
    for post in (gone, a_post()):
        with pytest.raises(NotFound):
            edited(store, post)
        with pytest.raises(NotFound):
            store.posts.delete(post.id, an_event(), if_version=1)
    dispatch_all(store)
    with pytest.raises(NotFound):
        edited(store, gone)


def test_one_of_two_writers_wins(store: DocumentStore) -> None:
    post = published(store)
    results = at_once([partial(edited, store, post, title=str(n)) for n in range(8)])
    won = [result for result in results if isinstance(result, Post)]
    assert len(won) == 1
    assert {type(result) for result in results} == {Post, Stale}
    assert store.posts.get([post.id]) == {post.id: won[0]}
    assert len(dispatch_all(store)) == 2


def test_replace_and_delete_race(store: DocumentStore) -> None:
    for _ in range(5):
        post = published(store)
        delete = partial(store.posts.delete, post.id, an_event(), if_version=1)
        results = at_once([partial(edited, store, post), delete])
        errors = [result for result in results if isinstance(result, StoreError)]
        assert len(errors) == 1
        assert bool(store.posts.get([post.id])) == (results[1] in errors)


def test_a_deleted_post_is_in_no_read(store: DocumentStore) -> None:
    author, other = uuid4(), uuid4()
    post = published(store, author_id=author, tags=("a", "b"))
    kept = published(store, author_id=other, tags=("b",))
    commented(store, post)
    store.posts.delete(post.id, an_event(), if_version=1)
    assert store.posts.get([post.id]) == {}
    assert store.posts.page(before=None, limit=9) == [kept]
    assert store.posts.page(before=None, limit=9, author=author) == []
    assert store.posts.page(before=None, limit=9, tag="a") == []
    assert store.posts.page(before=None, limit=9, tag="b") == [kept]
    assert store.posts.by_authors([author, other], limit=9) == [ref(kept)]
    assert store.posts.in_flight([author, other], limit=9) == [ref(kept)]
    assert store.posts.counts([author, other]) == {author: 0, other: 1}
    assert store.posts.tags(after=None, limit=9) == [TagCount("b", 1)]


def test_a_deleted_post_is_buried_until_its_events_are_acknowledged(store: DocumentStore) -> None:
    deleted, kept = published(store), published(store)
    assert store.posts.buried([deleted.id, kept.id]) == set()
    store.posts.delete(deleted.id, an_event(), if_version=1)
    assert store.posts.buried([deleted.id, kept.id, fresh_id()]) == {deleted.id}
    dispatch_all(store)
    assert store.posts.buried([deleted.id, kept.id]) == set()
    assert store.posts.buried([]) == set()


def test_authors_are_those_of_existing_posts(store: DocumentStore) -> None:
    deleted, *kept = (published(store) for _ in range(3))
    store.posts.delete(deleted.id, an_event(), if_version=1)
    wanted = [post.id for post in (deleted, *kept)]
    assert store.posts.authors([uuid4(), *wanted, kept[0].id]) == {post.id: post.author_id for post in kept}
    assert store.posts.authors([]) == {}


def test_pages_are_newest_first(store: DocumentStore) -> None:
    posts = [published(store, created_at=at(-n)) for n in range(5)][::-1]
    assert store.posts.page(before=None, limit=2) == posts[:2]
    assert store.posts.page(before=posts[1].id, limit=2) == posts[2:4]
    assert store.posts.page(before=posts[3].id, limit=2) == posts[4:]
    assert store.posts.page(before=posts[4].id, limit=2) == []
    assert store.posts.page(before=None, limit=0) == []


def test_ids_sort_by_their_bytes(store: DocumentStore) -> None:
    ids = [UUID(int=0), UUID(int=2**127 - 1), UUID(int=2**127), UUID(int=2**128 - 1)]
    for post_id in reversed(ids):
        published(store, id=post_id)
    assert [post.id for post in store.posts.page(before=None, limit=9)] == ids[::-1]


def test_pages_by_author_and_tag(store: DocumentStore) -> None:
    ada, bob = uuid4(), uuid4()
    posts = [published(store, author_id=who, tags=tags) for who in (ada, bob) for tags in (("x",), ("X", "x"), ())]
    posts.reverse()
    of_ada = [post for post in posts if post.author_id == ada]
    assert store.posts.page(before=None, limit=9, author=ada) == of_ada
    assert store.posts.page(before=of_ada[0].id, limit=1, author=ada) == of_ada[1:2]
    assert store.posts.page(before=None, limit=9, tag="x") == [p for p in posts if "x" in p.tags]
    assert store.posts.page(before=None, limit=9, tag="X") == [p for p in posts if "X" in p.tags]
    assert store.posts.page(before=None, limit=9, tag="x", author=ada) == [p for p in of_ada if "x" in p.tags]
    assert store.posts.page(before=of_ada[1].id, limit=9, tag="x", author=ada) == of_ada[2:]
    assert store.posts.page(before=None, limit=9, author=uuid4()) == []


def test_paging_sees_each_post_once_while_others_write(store: DocumentStore) -> None:
    posts = [published(store) for _ in range(12)]
    seen: list[Post] = []
    while page := store.posts.page(before=seen[-1].id if seen else None, limit=3):
        seen += page
        published(store)
        victim = posts.pop(0)
        store.posts.delete(victim.id, an_event(), if_version=1)
    ids = [post.id for post in seen]
    assert ids == sorted(set(ids), reverse=True)
    assert set(ids) >= {post.id for post in posts}


def test_counts_have_an_entry_for_each_author(store: DocumentStore) -> None:
    ada, nobody = uuid4(), uuid4()
    for _ in range(3):
        published(store, author_id=ada)
    assert store.posts.counts([ada, nobody, ada]) == {ada: 3, nobody: 0}
    assert store.posts.counts([]) == {}


def test_tags_by_code_point_with_exact_counts(store: DocumentStore) -> None:
    tags = ["Z", "a", "b", "e\u0301", "é", "\u0131", "\u0130", "\uffff", "😀"]
    for tag in tags:
        published(store, tags=(tag, "a"))
    published(store, tags=("b", "b"))
    counts = [TagCount(tag, {"a": 9, "b": 2}.get(tag, 1)) for tag in sorted(tags)]
    assert store.posts.tags(after=None, limit=99) == counts
    assert store.posts.tags(after="b", limit=3) == counts[3:6]
    assert store.posts.tags(after="😀", limit=3) == []
    assert store.posts.tags(after=None, limit=0) == []


def test_many_posts_with_a_new_tag_at_once(store: DocumentStore) -> None:
    tags = ("new", "newer", "newest")
    results = at_once([partial(published, store, tags=tags[n % 3 :] + tags[: n % 3]) for n in range(16)])
    assert {type(result) for result in results} == {Post}
    assert store.posts.tags(after=None, limit=9) == [TagCount(tag, 16) for tag in tags]


def test_a_page_of_tags_is_full_despite_unused_ones(store: DocumentStore) -> None:
    posts = [published(store, tags=(f"{n:03}",)) for n in range(60)]
    for post in posts[:50]:
        edited(store, post, tags=())
    store.posts.delete(posts[50].id, an_event(), if_version=1)
    assert store.posts.tags(after=None, limit=3) == [TagCount(tag, 1) for tag in ("051", "052", "053")]


def test_loaded_posts_have_no_events(store: DocumentStore) -> None:
    author = uuid4()
    there = published(store, author_id=author, title="there", tags=("kept",))
    dispatch_all(store)
    posts = [a_post(author_id=author, tags=("t",)) for _ in range(5)]
    for _ in range(2):
        store.posts.load([replace(there, title="other", tags=("other",)), *posts, posts[0]])
    assert store.posts.page(before=None, limit=9) == [*posts[::-1], there]
    assert store.posts.tags(after=None, limit=9) == [TagCount("kept", 1), TagCount("t", 5)]
    assert store.posts.in_flight([author], limit=9) == []
    assert store.outbox.backlog().unsent == 0
    store.posts.load([])
    assert store.comments.counts([posts[0].id]) == {posts[0].id: 0}
    assert commented(store, posts[0]).number == 1
    store.comments.load([a_comment(fresh_id(), 1)])
