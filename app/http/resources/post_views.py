"""`/posts/{id}/views`: how often a post was viewed."""

from uuid import UUID

import marshmallow as ma
from flask import Response, request

from app.http.edge import answers
from app.http.edge.blueprint import Blueprint, budget, public
from app.http.edge.caching import shared
from app.http.edge.deps import container
from app.services.pages.fragments import encode

blp = Blueprint("views", "How often posts are viewed")
LATE = "updated within seconds; views may be lost when a server or the cache fails, but are never counted twice"


class PostViewsSchema(ma.Schema):
    post_id = ma.fields.UUID(required=True)
    views = ma.fields.Integer(required=True, metadata={"description": LATE})


def note_view(post_id: UUID) -> None:
    """Count a view, unless the method is HEAD. Costs no round trip."""
    if request.method == "GET":
        container().content.views.seen(post_id)


@blp.get("/posts/<uuid:post_id>/views")
@public
@shared(10, 10)
@budget(relational=1, documents=2, sessions=1, cache=3)
@blp.response(200, PostViewsSchema)
@blp.raises(404)
def get_post_views(post_id: UUID) -> Response:
    """Get the number of views of a post. Each successful `GET` of the post counts, including a 304."""
    post = container().content.posts.read(post_id)
    container().pages.cards.person(post.author_id)
    return answers.thing(encode({"post_id": post.id, "views": container().content.views.of(post.id)}), 0)
