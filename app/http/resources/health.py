"""`/health`: liveness of the process, and readiness: whether every store answers."""

from typing import Any

import marshmallow as ma
from flask import Response, request
from flask_smorest import Blueprint as PlainBlueprint
from msgspec import structs

from app.http.edge import answers
from app.http.edge.blueprint import budget
from app.http.edge.deps import container
from app.server.bodies import LOST, MOST
from app.server.draining import ENDING
from app.telemetry.readiness import StoreAnswer, ask_all

blp = PlainBlueprint("health", __name__, url_prefix="/health", description="Liveness and readiness")


class LiveSchema(ma.Schema):
    status = ma.fields.String(required=True)


class ReplicaSchema(ma.Schema):
    serves = ma.fields.Boolean(required=True, metadata={"description": "whether this replica serves reads"})
    lag_seconds = ma.fields.Float(required=True, allow_none=True)
    lag_bytes = ma.fields.Integer(required=True, allow_none=True)


class StoreHealthSchema(ma.Schema):
    status = ma.fields.String(
        required=True,
        validate=ma.validate.OneOf(["ok", "degraded", "read_only", "unavailable"]),
        metadata={"description": "`degraded`: works, see `notes`; `read_only`: refuses writes"},
    )
    ms = ma.fields.Float(required=True)
    notes = ma.fields.List(ma.fields.String(), metadata={"description": "problems, such as unavailable hosts"})
    replicas = ma.fields.List(
        ma.fields.Nested(ReplicaSchema),
        metadata={"description": "present if reads go to replicas: their state when this process last checked"},
    )


class ReadySchema(LiveSchema):
    lost_threads = ma.fields.Integer(
        required=True,
        metadata={"description": "threads of this process still waiting for a request body after its deadline"},
    )
    stores = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.Nested(StoreHealthSchema), required=True)


@blp.get("/live")
@budget()
@blp.response(200, LiveSchema)
def get_liveness() -> Response:
    """Check that the process runs. Does not check the stores, since a restart would not repair them."""
    return answers.plain({"status": "ok"})


@blp.get("/ready")
@budget(relational=1, documents=1, feeds=1, sessions=1, cache=1)
@blp.response(200, ReadySchema)
@blp.alt_response(503, schema=ReadySchema)
def get_readiness() -> Response:
    """Check that every store accepts writes within its deadline, and that few threads of this process are lost.

    200 if they do, even if a store is degraded; otherwise 503. Always 503 once the server has been asked to stop.
    """
    lost, ending = request.environ.get(LOST, 0), ENDING in request.environ
    found = {role: _item(answer) for role, answer in ask_all(container().stores.by_role()).items()}
    statuses = {store["status"] for store in found.values()}
    serves = lost < MOST and statuses <= {"ok", "degraded"} and not ending
    status = "stopping" if ending else "ok" if serves and statuses == {"ok"} else "degraded"
    return answers.plain({"status": status, "lost_threads": lost, "stores": found}, 200 if serves else 503)


def _item(answer: StoreAnswer) -> dict[str, Any]:
    found: dict[str, Any] = {"status": answer.status, "ms": answer.ms}
    if answer.notes:
        found["notes"] = answer.notes
    if answer.replicas is not None:
        found["replicas"] = [structs.asdict(replica) for replica in answer.replicas]
    return found
