"""`/feed`: the home feed."""

from typing import Any

import marshmallow as ma
from flask import Response, request

from app.errors import BadRequest
from app.http.edge import answers, content_coding
from app.http.edge.blueprint import Blueprint, budget, private
from app.http.edge.deps import caller, container, cursors
from app.http.edge.feed_cursor import position_of, scope_of, start_of, window_of
from app.http.edge.fields import Text
from app.http.edge.paging import PageQuery, Position, page_of
from app.http.resources.posts import PostCardSchema
from app.http.whole_pages.home_hits import handed_on
from app.http.whole_pages.public_hits import kept_list
from app.services.feeds.page_truth import PageTruth
from app.services.feeds.upward_cursor import MAX_SEEN
from app.services.pages.kinds import Used
from app.services.pages.whole_pages import WholePage

blp = Blueprint("feed", "The home feed")


class FeedQuery(PageQuery):
    after = Text(
        load_default=None,
        validate=ma.validate.Length(1, 1000 + 20 * MAX_SEEN),
        metadata={"description": "page upward: the posts right above this cursor, newest first"},
    )


class FeedCardSchema(PostCardSchema):
    reason = ma.fields.String(
        required=True,
        validate=ma.validate.OneOf(["followed", "own"]),
        metadata={"description": "why it is in the feed; other reasons may come"},
    )


FeedPage = page_of(FeedCardSchema, "FeedPage", prev=ma.fields.String(required=True, allow_none=True))


@blp.get("/feed")
@private
@budget(relational=7, documents=4, feeds=2, sessions=1, cache=8)
@blp.arguments(FeedQuery, location="query")
@blp.response(200, FeedPage)
def get_feed(query: dict[str, Any]) -> Response:
    """Read one's home feed: own posts and those of whom one follows, newest first.

    `next` continues in the direction of travel: below the page after `cursor`, above it after `after`, and is null
    when there is nothing further. `prev` is the place of the newest post shown: ask for what came since with `after`.
    """
    if query["cursor"] and query["after"]:
        raise BadRequest("a page starts below `cursor` or above `after`, not both", code="bad_query")
    reader = caller()
    scope = scope_of(reader)
    start = start_of(cursors(), reader, query["after"])
    window = window_of(query["limit"], cursors().id(scope, query["cursor"]), start)
    found = handed_on(window) or container().pages.home.find(reader, window)
    if found.page is not None:
        return answers.checked(found.page)

    def build(look: PageTruth, used: Used) -> WholePage:
        page = container().pages.cards.home(reader, window, look, used)
        upward = position_of(container().feeds.timelines.cursor(start, page))
        onward: Position | None = [str(page.onward)] if page.onward else None
        if start and onward:
            onward = upward
        prev, onward_cursor = cursors().issue(scope, upward), cursors().issue(scope, onward)
        made = kept_list([card.body for card in page.items], onward_cursor, prev=prev)
        made.form(content_coding.wanted(request.headers.get("Accept-Encoding"), made.body))
        return made

    return answers.checked(container().pages.home.make(reader, found, build))
