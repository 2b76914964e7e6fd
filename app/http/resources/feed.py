"""`/feed`: the home feed."""

from typing import Any

import marshmallow as ma
from flask import Response, request

from app.errors import BadRequest
from app.http.edge import answers
from app.http.edge.blueprint import Blueprint, budget, private
from app.http.edge.deps import caller, container, cursors
from app.http.edge.feed_cursor import scope_of, start_of, window_of
from app.http.edge.fields import Text
from app.http.edge.paging import PageQuery, page_of
from app.http.resources.posts import PostCardSchema
from app.http.whole_pages.home_hits import handed_on, made
from app.services.feeds.upward_cursor import MAX_SEEN

blp = Blueprint("feed", "The home feed")


class FeedQuery(PageQuery):
    after = Text(
        load_default=None,
        validate=ma.validate.Length(1, 1000 + 20 * MAX_SEEN),
        metadata={"description": "page towards newer posts: the posts directly above this cursor, newest first"},
    )


class FeedCardSchema(PostCardSchema):
    reason = ma.fields.String(
        required=True,
        validate=ma.validate.OneOf(["followed", "own"]),
        metadata={"description": "why the post is in the feed; more reasons may be added"},
    )


FeedPage = page_of(FeedCardSchema, "FeedPage", prev=ma.fields.String(required=True, allow_none=True))


@blp.get("/feed")
@private
@budget(relational=7, documents=4, feeds=2, sessions=1, cache=8)
@blp.arguments(FeedQuery, location="query")
@blp.response(200, FeedPage)
def get_feed(query: dict[str, Any]) -> Response:
    """Get your home feed: your own posts and those of the accounts you follow, newest first.

    `next` continues in the same direction: towards older posts if the page was requested with `cursor` or without
    either, towards newer posts if it was requested with `after`; it is null when there are no more. `prev` is the
    position of the newest post shown: pass it as `after` to get the posts published since.
    """
    if query["cursor"] and query["after"]:
        raise BadRequest("a page starts below `cursor` or above `after`, not both", code="bad_query")
    reader = caller()
    before, start = cursors().id(scope_of(reader), query["cursor"]), start_of(cursors(), reader, query["after"])
    window = window_of(query["limit"], before, start)
    found = handed_on(window) or container().pages.home.find(reader, window)
    codings = request.headers.get("Accept-Encoding")
    return answers.checked(found.page or made(container(), cursors(), reader, found, codings))
