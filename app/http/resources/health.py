"""`/health`: liveness of the process, and whether every store answers."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
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
from repositories.errors import ReadOnly, StoreError
from repositories.store import Store

blp = PlainBlueprint("health", __name__, url_prefix="/health", description="Liveness and readiness")


class LiveSchema(ma.Schema):
    status = ma.fields.String(required=True)


class ReplicaSchema(ma.Schema):
    serves = ma.fields.Boolean(required=True, metadata={"description": "whether reads go there"})
    lag_seconds = ma.fields.Float(required=True, allow_none=True)
    lag_bytes = ma.fields.Integer(required=True, allow_none=True)


class StoreHealthSchema(ma.Schema):
    status = ma.fields.String(
        required=True,
        validate=ma.validate.OneOf(["ok", "degraded", "read_only", "unavailable"]),
        metadata={"description": "`degraded` serves, and says in `notes` what is amiss; `read_only` takes no writes"},
    )
    ms = ma.fields.Float(required=True)
    notes = ma.fields.List(ma.fields.String(), metadata={"description": "what is amiss, such as hosts that are away"})
    replicas = ma.fields.List(
        ma.fields.Nested(ReplicaSchema),
        metadata={"description": "where reads go to replicas: what this process has seen of them last"},
    )


class ReadySchema(LiveSchema):
    lost_threads = ma.fields.Integer(
        required=True, metadata={"description": "threads of this process that wait for a body past its deadline"}
    )
    stores = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.Nested(StoreHealthSchema), required=True)


@blp.get("/live")
@budget()
@blp.response(200, LiveSchema)
def get_liveness() -> Response:
    """Say that the process runs. Asks no store: a restart would not mend one."""
    return answers.plain({"status": "ok"})


@blp.get("/ready")
@budget(relational=1, documents=1, feeds=1, sessions=1, cache=1)
@blp.response(200, ReadySchema)
@blp.alt_response(503, schema=ReadySchema)
def get_readiness() -> Response:
    """Ask every store whether it takes writes, each within its deadline; and whether threads of this process were lost.

    200 while all of them do, also where one is degraded. 503 once the server was asked to end, whatever they say.
    """
    lost, ending = request.environ.get(LOST, 0), ENDING in request.environ
    stores = container().stores.by_role()
    with ThreadPoolExecutor(len(stores)) as pool:
        # Side by side: one that is away leaves the others their time. What they cost is counted with the request.
        calls = {role: pool.submit(copy_context().run, _asked, store) for role, store in stores.items()}
    found = {role: call.result() for role, call in calls.items()}
    statuses = {store["status"] for store in found.values()}
    serves = lost < MOST and statuses <= {"ok", "degraded"} and not ending
    status = "stopping" if ending else "ok" if serves and statuses == {"ok"} else "degraded"
    return answers.plain({"status": status, "lost_threads": lost, "stores": found}, 200 if serves else 503)


def _asked(store: Store) -> dict[str, Any]:
    began = time.perf_counter()
    notes: list[str] = []
    try:
        store.ping()
        notes = store.notes()
        status = "degraded" if notes else "ok"
    except ReadOnly:
        status = "read_only"
    except StoreError:
        status = "unavailable"
    found = {"status": status, "ms": round((time.perf_counter() - began) * 1000, 2)}
    if notes:
        found["notes"] = notes
    if store.replicated:
        found["replicas"] = [structs.asdict(replica) for replica in store.replicas()]
    return found
