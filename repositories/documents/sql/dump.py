"""Dump and restore of the documents in SQL, with their unsent events: from one snapshot, into empty tables."""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import UUID

import msgspec

from repositories.batched import batched
from repositories.documents.dump_records import KINDS, KeptComment, KeptEvent, KeptPost, KeptProduct, KeptViews
from repositories.documents.sql.products import attribute_rows, product_row
from repositories.documents.sql.versioned_writes import encoded
from repositories.dump_port import Dump, Frozen, Load, RecordKind
from repositories.records.content import Comment, Post
from repositories.records.products import Product
from repositories.sql import Row, SqlDatabase, SqlWork, id_of

BATCH = 500
Events = dict[tuple[str, int], list[KeptEvent]]


class DocumentsDump(Dump):
    kinds: Sequence[RecordKind] = KINDS

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Frozen]:
        with self._database.snapshot() as work:
            work.execute(PAGES["views"], (UUID(int=0), 1)).fetchall()
            yield Frozen(None, lambda kind: records(work, kind))

    def is_empty(self) -> bool:
        return not any(self._database.rows(page, (*_lowest_key(kind), 1)) for kind, page in PAGES.items())

    @contextlib.contextmanager
    def loading(self) -> Iterator[Load]:
        def load(kind: str, records: Sequence[Any]) -> None:
            for some in batched(records, BATCH):
                with self._database.write() as work:
                    LOADS[kind](work, some)

        yield load


PAGES = {
    "posts": """
        SELECT id, version, comments, comment_seq, deleted_at, document FROM documents_posts
        WHERE id > ? ORDER BY id LIMIT ?
    """,
    "comments": """
        SELECT post_id, number, deleted_at, document FROM documents_comments
        WHERE (post_id, number) > (?, ?) ORDER BY post_id, number LIMIT ?
    """,
    "products": "SELECT id, version, deleted_at, document FROM documents_products WHERE id > ? ORDER BY id LIMIT ?",
    "views": "SELECT post_id, n, batch FROM documents_views WHERE post_id > ? ORDER BY post_id LIMIT ?",
}
EVENTS = """
    SELECT document_id, number, id, type, aggregate, happened_at, payload, traceparent, publishes, attempts, due_at,
        dead_lettered_at, reason
    FROM documents_events WHERE kind = ? AND document_id = ANY (?) ORDER BY document_id, number, seq
"""
LOAD_POST = """
    INSERT INTO documents_posts (id, author_id, version, comments, comment_seq, in_flight, deleted_at, document)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING
"""
LOAD_TAG = "INSERT INTO documents_tags (tag, post_id) VALUES (?, ?) ON CONFLICT (tag, post_id) DO NOTHING"
LOAD_COMMENT = """
    INSERT INTO documents_comments (post_id, number, author_id, deleted_at, document)
    VALUES (?, ?, ?, ?, ?) ON CONFLICT (post_id, number) DO NOTHING
"""
LOAD_PRODUCT = """
    INSERT INTO documents_products (id, seller_id, category, price, version, deleted_at, document)
    VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING
"""
LOAD_ATTRIBUTE = """
    INSERT INTO documents_attributes (name, text, product_id) VALUES (?, ?, ?)
    ON CONFLICT (name, text, product_id) DO NOTHING
"""
LOAD_VIEWS = "INSERT INTO documents_views (post_id, n, batch) VALUES (?, ?, ?) ON CONFLICT (post_id) DO NOTHING"
# A load that was interrupted repeats a whole batch, whose events may be there already.
FORGET_EVENTS = "DELETE FROM documents_events WHERE id = ANY (?)"
LOAD_EVENT = """
    INSERT INTO documents_events (kind, document_id, number, id, type, aggregate, happened_at, payload, traceparent,
        publishes, attempts, due_at, dead_lettered_at, reason)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


def _lowest_key(kind: str) -> tuple[Any, ...]:
    return (UUID(int=0), 0) if kind == "comments" else (UUID(int=0),)


def records(work: SqlWork, kind: str) -> Iterator[Sequence[Any]]:
    after = _lowest_key(kind)
    while rows := work.execute(PAGES[kind], (*after, BATCH)).fetchall():
        yield made(work, kind, rows)
        after = (id_of(rows[-1][0]), rows[-1][1]) if kind == "comments" else (id_of(rows[-1][0]),)


def made(work: SqlWork, kind: str, rows: Sequence[Row]) -> list[Any]:
    """Make the records of these rows, with their events."""
    if kind == "views":
        return [KeptViews(id_of(post_id), n, batch) for post_id, n, batch in rows]
    events = _events(work, kind.removesuffix("s"), list({id_of(row[0]) for row in rows}))
    return [MAKE[kind](row, events) for row in rows]


def _events(work: SqlWork, kind: str, ids: list[UUID]) -> Events:
    found: Events = defaultdict(list)
    for document_id, number, *row in work.execute(EVENTS, (kind, ids)).fetchall():
        found[str(document_id), number].append(msgspec.convert(row, KeptEvent, strict=False))
    return found


def _post(row: Row, events: Events) -> KeptPost:
    post_id, version, comments, numbered, deleted_at, document = row
    if deleted_at is not None:
        comments = numbered = 0
    post = None if document is None else msgspec.json.decode(document, type=Post)
    kept = tuple(events.get((str(post_id), 0), ()))
    return KeptPost(id_of(post_id), version, comments, numbered, deleted_at, post, kept)


def _comment(row: Row, events: Events) -> KeptComment:
    post_id, number, deleted_at, document = row
    comment = None if document is None else msgspec.json.decode(document, type=Comment)
    return KeptComment(id_of(post_id), number, deleted_at, comment, tuple(events.get((str(post_id), number), ())))


def _product(row: Row, events: Events) -> KeptProduct:
    product_id, version, deleted_at, document = row
    product = None if document is None else msgspec.json.decode(document, type=Product)
    return KeptProduct(id_of(product_id), version, deleted_at, product, tuple(events.get((str(product_id), 0), ())))


MAKE: dict[str, Callable[[Row, Events], Any]] = {"posts": _post, "comments": _comment, "products": _product}


def _load_posts(work: SqlWork, records: Sequence[KeptPost]) -> None:
    live = [(one, one.post) for one in records if one.post]
    author = {one.id: post.author_id for one, post in live}
    document = {one.id: encoded(post) for one, post in live}
    work.executemany(
        LOAD_POST,
        [
            (
                *(one.id, author.get(one.id), one.version, one.comments, one.comment_seq),
                *(any(event.publishes for event in one.events) or None, one.deleted_at, document.get(one.id)),
            )
            for one in records
        ],
    )
    work.executemany(LOAD_TAG, [(tag, one.id) for one, post in live for tag in sorted(set(post.tags))])
    _load_events(work, "post", [(one.id, 0, one.events) for one in records])


def _load_comments(work: SqlWork, records: Sequence[KeptComment]) -> None:
    work.executemany(
        LOAD_COMMENT,
        [
            (
                *(one.post_id, one.number, one.comment and one.comment.author_id, one.deleted_at),
                one.comment and encoded(one.comment),
            )
            for one in records
        ],
    )
    _load_events(work, "comment", [(one.post_id, one.number, one.events) for one in records])


def _load_products(work: SqlWork, records: Sequence[KeptProduct]) -> None:
    rows = {one.id: product_row(one.product) for one in records if one.product}
    names = ("seller_id", "category", "price")
    work.executemany(
        LOAD_PRODUCT,
        [
            (
                *(one.id, *(rows[one.id][name] if one.product else None for name in names), one.version),
                *(one.deleted_at, rows[one.id]["document"] if one.product else None),
            )
            for one in records
        ],
    )
    work.executemany(LOAD_ATTRIBUTE, [row for one in records if one.product for row in attribute_rows(one.product)])
    _load_events(work, "product", [(one.id, 0, one.events) for one in records])


def _load_views(work: SqlWork, records: Sequence[KeptViews]) -> None:
    work.executemany(LOAD_VIEWS, [(one.post_id, one.views, one.batch) for one in records])


LOADS: dict[str, Callable[[SqlWork, Sequence[Any]], None]] = {
    "posts": _load_posts,
    "comments": _load_comments,
    "products": _load_products,
    "views": _load_views,
}


def _load_events(work: SqlWork, kind: str, of: Sequence[tuple[UUID, int, Sequence[KeptEvent]]]) -> None:
    rows = [
        (kind, document_id, number, *msgspec.structs.astuple(event))
        for document_id, number, events in of
        for event in events
    ]
    if rows:
        work.execute(FORGET_EVENTS, ([row[3] for row in rows],))
        work.executemany(LOAD_EVENT, rows)
