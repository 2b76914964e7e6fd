"""The contract of the documents role: deleting everything an account has written or offers, slice by slice."""

from uuid import UUID, uuid4

from repositories.documents import DocumentStore
from repositories.records.content import Comment, Post, TagCount
from repositories.records.events import Event
from repositories.records.products import Product, ProductFilter
from tests.contracts.document_store import NOW, an_event, announced, at, at_once, dispatch_all, offered, published


def deleted(thing: Post | Product) -> Event:
    return an_event(thing.id, type_="deleted", happened_at=at(1))


def commented_by(store: DocumentStore, post: Post, author: UUID) -> Comment:
    return store.comments.add(post.id, author, "Body", NOW, announced)


def test_posts_are_deleted_in_slices_with_their_events(store: DocumentStore) -> None:
    ada, bob = uuid4(), uuid4()
    mine = [published(store, author_id=ada, tags=("t",)) for _ in range(3)]
    other = published(store, author_id=bob, tags=("t",))
    dispatch_all(store)
    slices = [store.posts.delete_of(ada, deleted, limit=2) for _ in range(3)]
    assert [len(found) for found in slices] == [2, 1, 0]
    assert sorted((p for found in slices for p in found), key=lambda p: p.id) == mine
    assert store.posts.get([p.id for p in mine]) == {}
    assert store.posts.counts([ada, bob]) == {ada: 0, bob: 1}
    assert store.posts.tags(after=None, limit=9) == [TagCount("t", 1)]
    assert {event.aggregate for event in dispatch_all(store, at(9))} == {str(p.id) for p in mine}
    assert store.posts.get([other.id]) == {other.id: other}


def test_comments_are_deleted_in_slices_and_uncounted(store: DocumentStore) -> None:
    ada, bob = uuid4(), uuid4()
    posts = [published(store) for _ in range(2)]
    mine = [commented_by(store, post, ada) for post in posts for _ in range(2)]
    others = [commented_by(store, post, bob) for post in posts]
    dispatch_all(store)
    slices = [store.comments.delete_of(ada, announced, limit=3) for _ in range(3)]
    assert [len(found) for found in slices] == [3, 1, 0]
    assert sorted((c for found in slices for c in found), key=repr) == sorted(mine, key=repr)
    for post, other in zip(posts, others, strict=True):
        assert store.comments.page(post.id, after=None, limit=9) == [other]
    ids = [post.id for post in posts]
    assert store.comments.counts(ids) == dict.fromkeys(ids, 1)
    assert store.comments.recount(ids, repair=False) == {}
    assert len(dispatch_all(store, at(9))) == len(mine)


def test_comments_on_a_deleted_post_are_deleted_too(store: DocumentStore) -> None:
    ada, post = uuid4(), published(store)
    comment = commented_by(store, post, ada)
    store.posts.delete(post.id, deleted(post), if_version=1)
    assert store.comments.delete_of(ada, announced, limit=9) == [comment]
    assert store.comments.delete_of(ada, announced, limit=9) == []


def test_products_are_deleted_in_slices_with_their_events(store: DocumentStore) -> None:
    ada, bob = uuid4(), uuid4()
    mine = [offered(store, seller_id=ada, attributes={"colour": "red"}) for _ in range(3)]
    other = offered(store, seller_id=bob, attributes={"colour": "red"})
    dispatch_all(store)
    slices = [store.products.delete_of(ada, deleted, limit=2) for _ in range(3)]
    assert [len(found) for found in slices] == [2, 1, 0]
    assert sorted((p for found in slices for p in found), key=lambda p: p.id) == mine
    assert store.products.page(ProductFilter(attributes=(("colour", "red"),)), before=None, limit=9) == [other]
    assert {event.aggregate for event in dispatch_all(store, at(9))} == {str(p.id) for p in mine}


def test_an_account_without_documents_deletes_nothing(store: DocumentStore) -> None:
    post, product = published(store), offered(store)
    nobody = uuid4()
    assert store.posts.delete_of(nobody, deleted, limit=9) == []
    assert store.comments.delete_of(nobody, announced, limit=9) == []
    assert store.products.delete_of(nobody, deleted, limit=9) == []
    assert store.posts.get([post.id])
    assert store.products.get([product.id])


def test_two_concurrent_calls_delete_everything_once(store: DocumentStore) -> None:
    ada, post = uuid4(), published(store)
    for _ in range(5):
        published(store, author_id=ada)
        commented_by(store, post, ada)
    dispatch_all(store)
    removals = [
        lambda: store.posts.delete_of(ada, deleted, limit=9),
        lambda: store.comments.delete_of(ada, announced, limit=9),
    ]
    ends = at_once(removals * 2)
    assert not [end for end in ends if isinstance(end, Exception)]
    assert store.comments.counts([post.id]) == {post.id: 0}
    assert len(dispatch_all(store, at(9))) == 10


def test_comments_are_listed_by_their_author(store: DocumentStore) -> None:
    ada, posts = uuid4(), [published(store) for _ in range(3)]
    mine = [commented_by(store, post, ada) for post in posts for _ in range(2)]
    commented_by(store, posts[0], uuid4())
    assert store.comments.by_author(ada, after=None, limit=99) == mine
    for n, comment in enumerate(mine):
        assert store.comments.by_author(ada, after=(comment.post_id, comment.number), limit=2) == mine[n + 1 : n + 3]
    store.posts.delete(posts[0].id, deleted(posts[0]), if_version=1)
    store.comments.delete(posts[1].id, mine[2].number, announced(mine[2]))
    assert store.comments.by_author(ada, after=None, limit=2) == mine[3:5], "deleted comments are not counted"
    assert (
        store.comments.by_author(ada, after=None, limit=0)
        == store.comments.by_author(uuid4(), after=None, limit=9)
        == []
    )


def test_products_are_listed_by_their_seller(store: DocumentStore) -> None:
    ada = uuid4()
    mine = [offered(store, seller_id=ada) for _ in range(4)]
    offered(store)
    assert store.products.of_seller(ada, after=None, limit=99) == mine
    for n, product in enumerate(mine):
        assert store.products.of_seller(ada, after=product.id, limit=2) == mine[n + 1 : n + 3]
    store.products.delete(mine[0].id, deleted(mine[0]), if_version=1)
    assert store.products.of_seller(ada, after=None, limit=2) == mine[1:3]
    assert store.products.of_seller(ada, after=None, limit=0) == []
