"""`/health`: liveness of the process, and whether every store answers."""

import time
from typing import Any

import marshmallow as ma
from flask import Response, request
from flask_smorest import Blueprint as PlainBlueprint

from app.http.edge import answers
from app.http.edge.blueprint import budget
from app.http.edge.deps import container
from app.server.bodies import LOST, MOST
from repositories.errors import StoreError
from repositories.store import Store

blp = PlainBlueprint("health", __name__, url_prefix="/health", description="Liveness and readiness")


class LiveSchema(ma.Schema):
    status = ma.fields.String(required=True)


class StoreHealthSchema(ma.Schema):
    status = ma.fields.String(required=True)
    ms = ma.fields.Float(required=True)


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
    """Ask every store for an answer, each within its deadline; and whether threads of this process were lost."""
    lost = request.environ.get(LOST, 0)
    found = {role: _asked(store) for role, store in container().stores.by_role().items()}
    well = lost < MOST and all(s["status"] == "ok" for s in found.values())
    return answers.plain(
        {"status": "ok" if well else "degraded", "lost_threads": lost, "stores": found}, 200 if well else 503
    )


def _asked(store: Store) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        store.ping()
        status = "ok"
    except StoreError:
        status = "unavailable"
    return {"status": status, "ms": round((time.perf_counter() - began) * 1000, 2)}
