"""`/search`: full-text search of posts and products."""

from typing import Any

import marshmallow as ma
from flask import Response

from app.http.edge import answers
from app.http.edge.blueprint import Blueprint, budget, public
from app.http.edge.deps import container, cursors, viewer
from app.http.edge.fields import Line
from app.http.edge.paging import PageQuery, by_id, page_of
from app.http.resources.posts import PostCardSchema
from app.http.resources.products import ProductCardSchema
from app.services.pages.fragments import encode

blp = Blueprint("search", "Full-text search")


class SearchQuery(PageQuery):
    q = Line(
        required=True,
        validate=ma.validate.Length(1, 200),
        metadata={"description": "words that the title or text must all contain; the last one may be a prefix"},
    )
    kind = Line(load_default=None, validate=ma.validate.OneOf(["post", "product"]))


class SearchItemSchema(ma.Schema):
    """Exactly one of the members is present."""

    post = ma.fields.Nested(PostCardSchema)
    product = ma.fields.Nested(ProductCardSchema)


SearchPage = page_of(SearchItemSchema, "SearchPage")


@blp.get("/search")
@public
@budget(relational=5, documents=4, sessions=1, cache=13, search=1)
@blp.arguments(SearchQuery, location="query")
@blp.response(200, SearchPage)
@blp.raises(501, 503)
def search_content(query: dict[str, Any]) -> Response:
    """Search posts and products by words, newest first.

    Very recent changes may be missing. A page has fewer items than `limit` if some were deleted in the meantime.
    """
    words, kind, limit = query["q"], query["kind"], query["limit"]
    scope = f"search:{kind}:{words}"
    before = cursors().id(scope, query["cursor"])
    found = container().content.search.find(words, kind, before=before, limit=limit + 1)
    shown = container().content.search.cards(found[:limit], viewer())
    items = (b"{" + encode(kind) + b":" + body + b"}" for kind, body in shown)
    return answers.page(items, cursors().onward(scope, found, limit, by_id))
