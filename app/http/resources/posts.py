"""`/posts` and `/tags`: publishing, reading, changing and liking posts."""

from collections.abc import Iterable, Sequence
from typing import Any, cast
from uuid import UUID

import marshmallow as ma
from flask import Response

from app.errors import Missing
from app.http.edge import answers
from app.http.edge.blueprint import BASE, LOCATION, Blueprint, budget, private, public
from app.http.edge.caching import shared
from app.http.edge.conditions import if_match
from app.http.edge.deps import caller, container, cursors, viewer
from app.http.edge.fields import Different, Line, Moment, Prose, Text
from app.http.edge.idempotency import idempotent, reserved
from app.http.edge.paging import PageQuery, Position, page_of
from app.http.edge.shapes import AccountSchema
from app.http.resources.post_views import note_view
from app.http.whole_pages.public_hits import hot, kept_cards, kept_list, kept_thing
from app.services.content.posts import PostChanges, PostDraft
from app.services.pages.cards import Card
from app.services.pages.first_pages import ListedIds
from app.services.pages.fragments import encode
from app.services.pages.kinds import Used
from app.services.pages.whole_pages import WholePage
from repositories.records.content import TagCount

blp = Blueprint("posts", "Posts, likes and tags")


class PostDraftSchema(ma.Schema):
    title = Line(required=True, validate=ma.validate.Length(1, 200))
    body = Prose(required=True, validate=ma.validate.Length(1, 20_000))
    tags = Different(Line(validate=ma.validate.Length(1, 40)), load_default=list)
    product_ids = Different(ma.fields.UUID(), load_default=list)


class PostChangesSchema(ma.Schema):
    title = Line(validate=ma.validate.Length(1, 200))
    body = Prose(validate=ma.validate.Length(1, 20_000))
    tags = Different(Line(validate=ma.validate.Length(1, 40)))
    product_ids = Different(ma.fields.UUID())


class PostSchema(ma.Schema):
    id = ma.fields.UUID(required=True)
    author_id = ma.fields.UUID(required=True)
    title = ma.fields.String(required=True)
    body = ma.fields.String(required=True)
    tags = ma.fields.List(ma.fields.String(), required=True)
    product_ids = ma.fields.List(ma.fields.UUID(), required=True)
    created_at = Moment(required=True)
    updated_at = Moment(required=True)
    version = ma.fields.Integer(required=True)


class PostStatsSchema(ma.Schema):
    likes = ma.fields.Integer(required=True)
    comments = ma.fields.Integer(required=True)


class PostViewerSchema(ma.Schema):
    liked = ma.fields.Boolean(required=True)
    following_author = ma.fields.Boolean(required=True)


class PostCardSchema(ma.Schema):
    post = ma.fields.Nested(PostSchema, required=True)
    author = ma.fields.Nested(AccountSchema, required=True)
    stats = ma.fields.Nested(PostStatsSchema, required=True)
    viewer = ma.fields.Nested(PostViewerSchema)


PostPage = page_of(PostCardSchema, "PostPage")


class PostQuery(PageQuery):
    tag = Line(load_default=None, validate=ma.validate.Length(1, 40))
    author = Text(load_default=None, validate=ma.validate.Length(1, 30), metadata={"description": "a handle"})


class TagSchema(ma.Schema):
    tag = ma.fields.String(required=True)
    posts = ma.fields.Integer(required=True)


TagPage = page_of(TagSchema, "TagPage")


@blp.post("/posts")
@private
@budget(relational=12, documents=3, feeds=2, sessions=1, cache=4)
@blp.arguments(PostDraftSchema)
@blp.response(201, PostCardSchema, headers=LOCATION)
@idempotent()
def create_post(draft: dict[str, Any]) -> Response:
    """Publish a post. When the response arrives, the post is in the feed of every follower."""
    post = container().content.posts.publish(caller(), PostDraft(**_tuples(draft)), reserved())
    card = container().pages.cards.new_post(post)
    return answers.thing(card.body, card.version, 201, f"{BASE}/posts/{post.id}")


@blp.get("/posts")
@public
@shared(10, 10)
@budget(relational=5, documents=3, sessions=1, cache=15)
@blp.arguments(PostQuery, location="query")
@blp.response(200, PostPage)
@blp.raises(404)
def list_posts(query: dict[str, Any]) -> Response:
    """List posts, newest first, optionally only those of an author, with a tag, or both."""
    tag, limit = query["tag"], query["limit"]
    if query["cursor"] is None:
        return hot(lambda used: _first_posts(limit, query["author"], tag, used))
    author = account_id(query["author"]) if query["author"] else None
    scope = f"posts:{author}:{tag}"
    before = cursors().id(scope, query["cursor"])
    posts = container().stores.documents.posts.page(before=before, limit=limit + 1, author=author, tag=tag)
    cards = container().pages.cards.posts_read(posts[:limit], viewer())
    return card_page(scope, cards, [str(posts[limit - 1].id)] if len(posts) > limit else None)


@blp.get("/posts/<uuid:post_id>")
@public
@shared(10, 10)
@budget(relational=4, documents=2, sessions=1, cache=12)
@blp.response(200, PostCardSchema)
@blp.raises(404)
def get_post(post_id: UUID) -> Response:
    """Get a post. Counts as a view."""
    answer = hot(lambda used: _made(post_id, used))
    note_view(post_id)
    return answer


@blp.patch("/posts/<uuid:post_id>")
@private
@budget(relational=4, documents=4, sessions=1, cache=7)
@blp.arguments(PostChangesSchema)
@blp.response(200, PostCardSchema)
@blp.conditional
@blp.raises(403, 404)
def update_post(changes: dict[str, Any], post_id: UUID) -> Response:
    """Change your own post. Requires If-Match."""
    post = container().content.posts.edit(caller(), post_id, cast("PostChanges", _tuples(changes)), if_match())
    (card,) = container().pages.cards.posts_read([post], caller())
    return answers.thing(card.body, card.version)


@blp.delete("/posts/<uuid:post_id>")
@private
@budget(documents=2, sessions=1, cache=1)
@blp.response(204)
@blp.conditional
@blp.raises(403, 404)
def delete_post(post_id: UUID) -> Response:
    """Delete your own post. Requires If-Match."""
    container().content.posts.delete(caller(), post_id, if_match())
    return answers.nothing()


@blp.put("/posts/<uuid:post_id>/like")
@private
@budget(relational=8, documents=1, sessions=1, cache=1)
@blp.response(204)
@blp.raises(403, 404)
def like_post(post_id: UUID) -> Response:
    """Like a post."""
    container().content.posts.like(caller(), post_id)
    return answers.nothing()


@blp.delete("/posts/<uuid:post_id>/like")
@private
@budget(relational=7, documents=1, sessions=1, cache=1)
@blp.response(204)
@blp.raises(404)
def unlike_post(post_id: UUID) -> Response:
    """Remove your like from a post."""
    container().content.posts.unlike(caller(), post_id)
    return answers.nothing()


@blp.get("/tags")
@public
@shared(60, 60)
@budget(documents=1, sessions=1, cache=6)
@blp.arguments(PageQuery, location="query")
@blp.response(200, TagPage)
def list_tags(query: dict[str, Any]) -> Response:
    """List the tags in use by name, each with its number of posts."""
    cursor, limit = query["cursor"], query["limit"]
    if cursor is None:
        return hot(lambda used: _first_tags(limit, used))
    found = container().stores.documents.posts.tags(after=cursors().read("tags", cursor)[0], limit=limit + 1)
    return answers.page(map(encode, found[:limit]), _onward_tag(found, limit, more=len(found) > limit))


def card_page(scope: str, cards: Iterable[Card], onward: Position | None, **more: Any) -> Response:
    return answers.page([card.body for card in cards], cursors().issue(scope, onward), **more)


def first_page(scope: str, ids: ListedIds, used: Used | None) -> WholePage:
    """The first page of a list of posts."""
    onward = cursors().issue(scope, [str(ids.onward)] if ids.onward else None)
    return kept_cards(container().pages.cards.posts(ids.ids, used), onward)


def account_id(handle: str, used: Used | None = None) -> UUID:
    """The id of the account with this handle. Raises `Missing`."""
    found = container().pages.handles.id_of(handle, used)
    if found is None:
        raise Missing("there is no account with this handle")
    return found


def _first_posts(limit: int, handle: str | None, tag: str | None, used: Used | None) -> WholePage:
    author = account_id(handle, used) if handle else None
    return first_page(f"posts:{author}:{tag}", container().pages.first.posts(limit, author, tag, used), used)


def _first_tags(limit: int, used: Used | None) -> WholePage:
    found = container().pages.first.tags(limit, used)
    return kept_list(map(encode, found.tags), _onward_tag(found.tags, limit, more=found.more))


def _onward_tag(tags: Sequence[TagCount], limit: int, *, more: bool) -> str | None:
    return cursors().issue("tags", [tags[limit - 1].tag] if more else None)


def _made(post_id: UUID, used: Used | None) -> WholePage:
    cards = container().pages.cards.posts([post_id], used)
    if not cards:
        raise Missing("there is no such post")
    return kept_thing(cards[0])


def _tuples(loaded: dict[str, Any]) -> dict[str, Any]:
    """Convert the lists of a loaded body to tuples, since records are immutable."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in loaded.items()}
