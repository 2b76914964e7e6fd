"""`/posts/{id}/comments`: comments, numbered per post."""

from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import Response

from app.errors import Missing
from app.http.edge import answers
from app.http.edge.blueprint import BASE, LOCATION, Blueprint, budget, private, public
from app.http.edge.caching import shared
from app.http.edge.deps import caller, container, cursors
from app.http.edge.fields import Moment, Prose
from app.http.edge.idempotency import idempotent, reserved
from app.http.edge.paging import PageQuery, page_of
from app.http.edge.shapes import AccountSchema
from app.services.pages.whole_pages import unversioned

blp = Blueprint("comments", "Comments on posts")


class CommentDraftSchema(ma.Schema):
    body = Prose(required=True, validate=ma.validate.Length(1, 5000))


class CommentSchema(ma.Schema):
    number = ma.fields.Integer(required=True)
    body = ma.fields.String(required=True)
    created_at = Moment(required=True)


class CommentCardSchema(ma.Schema):
    comment = ma.fields.Nested(CommentSchema, required=True)
    author = ma.fields.Nested(AccountSchema, required=True)


CommentPage = page_of(CommentCardSchema, "CommentPage")


@blp.get("/posts/<uuid:post_id>/comments")
@public
@shared(10, 10)
@budget(relational=1, documents=2, sessions=1, cache=3)
@blp.arguments(PageQuery, location="query")
@blp.response(200, CommentPage)
@blp.raises(404)
def list_comments(query: dict[str, Any], post_id: UUID) -> Response:
    """List the comments on a post by number, oldest first."""
    author = container().content.posts.author_of(post_id)
    scope, limit = f"comments:{post_id}", query["limit"]
    after = cursors().read(scope, query["cursor"])[0] if query["cursor"] else None
    found = container().stores.documents.comments.page(post_id, after=after, limit=limit + 1)
    cards = container().pages.cards.comments(author, found[:limit])
    return answers.page(cards, cursors().onward(scope, found, limit, lambda last: [last.number]))


@blp.post("/posts/<uuid:post_id>/comments")
@private
@budget(relational=10, documents=4, sessions=1, cache=4)
@blp.arguments(CommentDraftSchema)
@blp.response(201, CommentCardSchema, headers=LOCATION)
@blp.raises(403, 404)
@idempotent()
def create_comment(draft: dict[str, Any], post_id: UUID) -> Response:
    """Comment on a post."""
    comment = container().content.comments.add(caller(), post_id, draft["body"], reserved())
    (card,) = container().pages.cards.comments(comment.author_id, [comment])
    return answers.created(card, f"{BASE}/posts/{post_id}/comments/{comment.number}")


@blp.get("/posts/<uuid:post_id>/comments/<number:number>")
@public
@shared(10, 10)
@budget(relational=1, documents=2, sessions=1, cache=3)
@blp.response(200, CommentCardSchema)
@blp.raises(404)
def get_comment(post_id: UUID, number: int) -> Response:
    """Get a comment."""
    author = container().content.posts.author_of(post_id)
    cards = container().pages.cards.comments(author, [container().content.comments.get(post_id, number)])
    if not cards:
        raise Missing("there is no such comment")
    return answers.checked(unversioned(cards[0]))


@blp.delete("/posts/<uuid:post_id>/comments/<number:number>")
@private
@budget(documents=4, sessions=1, cache=1)
@blp.response(204)
@blp.raises(403, 404)
def delete_comment(post_id: UUID, number: int) -> Response:
    """Delete your own comment."""
    container().content.comments.delete(caller(), post_id, number)
    return answers.nothing()
