"""`/feed`: the home feed."""

from typing import Any

import marshmallow as ma
from flask import Response

from app.errors import BadRequest
from app.http.blueprint import Blueprint, private
from app.http.deps import caller, container
from app.http.fields import Text
from app.http.paging import PageQuery, page_of
from app.http.posts import PostCardSchema, timeline_page

blp = Blueprint("feed", "The home feed")


class FeedQuery(PageQuery):
    after = Text(
        load_default=None,
        validate=ma.validate.Length(max=1000),
        metadata={"description": "page upward: the posts right above this cursor, newest first"},
    )


FeedPage = page_of(PostCardSchema, "FeedPage", prev=ma.fields.String(required=True, allow_none=True))


@blp.get("/feed")
@private
@blp.arguments(FeedQuery, location="query")
@blp.response(200, FeedPage)
def home(query: dict[str, Any]) -> Response:
    """Read one's home feed: own posts and those of whom one follows, newest first.

    `next` continues in the direction of travel: below the page after `cursor`, above it after `after`, and is null
    when there is nothing further. `prev` is the place of the newest post shown: ask for what came since with `after`.
    """
    if query["cursor"] and query["after"]:
        raise BadRequest("a page starts below `cursor` or above `after`, not both", code="bad_query")
    reader = caller()
    return timeline_page(f"feed:{reader}", query, lambda w: container().timelines.home(reader, w), upward=True)
