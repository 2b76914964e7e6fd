"""`/posts/{id}/delivery`: the progress of a post's fan-out to its author's followers."""

from uuid import UUID

import marshmallow as ma
from flask import Response

from app.http.edge import answers
from app.http.edge.blueprint import Blueprint, budget, private
from app.http.edge.deps import caller, container
from app.http.edge.fields import Moment
from app.services.content.deliveries import Deliveries, Delivery
from app.services.pages.fragments import moment

blp = Blueprint("delivery", "Delivery of posts to home feeds")

STATES = ("in_flight", "running", "delivered", "pulled")
STATE = "`pulled`: the remaining followers pull the post when they read; other states end as `delivered`"
LAG = "milliseconds since publication, accurate to 2 %; null before the first delivery"


class LagSchema(ma.Schema):
    p50_ms = ma.fields.Float(required=True, allow_none=True, metadata={"description": LAG})
    p99_ms = ma.fields.Float(required=True, allow_none=True, metadata={"description": LAG})


class DeliverySchema(ma.Schema):
    """The figures are null for a post that was delivered long ago or comes from seeded data: they are not stored."""

    post_id = ma.fields.UUID(required=True)
    state = ma.fields.String(required=True, validate=ma.validate.OneOf(STATES), metadata={"description": STATE})
    audience = ma.fields.Integer(
        required=True, allow_none=True, metadata={"description": "followers that are not dormant"}
    )
    delivered = ma.fields.Integer(required=True, allow_none=True)
    remaining = ma.fields.Integer(required=True, allow_none=True)
    lag = ma.fields.Nested(LagSchema, required=True)
    published_at = Moment(required=True)
    finished_at = Moment(required=True, allow_none=True)
    trace_id = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "X-Request-Id of the request that published the post"}
    )


@blp.get("/posts/<uuid:post_id>/delivery")
@private
@budget(relational=2, documents=2, sessions=1)
@blp.response(200, DeliverySchema)
@blp.raises(403, 404)
def get_post_delivery(post_id: UUID) -> Response:
    """Get the progress of the delivery of your own post to its followers."""
    stores = container().stores
    found = Deliveries(stores.relational, stores.documents, container().content.posts).of(caller(), post_id)
    return answers.plain(_body(found))


def _body(found: Delivery) -> dict[str, object]:
    return {
        "post_id": found.post_id,
        "state": found.state,
        "audience": found.audience,
        "delivered": found.delivered,
        "remaining": found.remaining,
        "lag": {"p50_ms": found.p50_ms, "p99_ms": found.p99_ms},
        "published_at": moment(found.published_at),
        "finished_at": found.finished_at and moment(found.finished_at),
        "trace_id": found.trace_id,
    }
