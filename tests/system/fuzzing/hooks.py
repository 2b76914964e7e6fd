"""Supplies what schemathesis cannot know: values issued by the server, and rules that JSON Schema cannot express.

Changes only requests that are meant to be valid, and only what the server would rightly refuse. Everything else,
including invalid requests, is sent as generated. Loaded by schemathesis, not by pytest.
"""

import os
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import requests
import schemathesis

# Another person, and a product of theirs.
SELLER, PRODUCT = os.environ["FUZZED_SELLER"], os.environ["FUZZED_PRODUCT"]


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    if case.meta is None or case.meta.generation.mode.is_negative:
        return
    if "If-Match" in case.headers:
        case.headers["If-Match"] = _entity_tag(case)
    if "Idempotency-Key" in case.headers:
        # Unique, since a key that was used before belongs to another request.
        case.headers["Idempotency-Key"] += uuid4().hex[: 255 - len(case.headers["Idempotency-Key"])]
    if "/wallet/entries" in case.operation.path or "/wallet/statement" in case.operation.path:
        case.query = {"currency": "EUR"} | _ascending(case.query or {})  # required once there are several
    for name, member in (("cursor", "next"), ("after", "prev")):
        if name in (case.query or {}):
            others = {k: v for k, v in case.query.items() if k not in {"cursor", "after"}}
            case.query = others | _issued_cursor(case, {**others, "limit": 1}, name, member)
    if isinstance(case.body, dict):
        case.body = _with_existing_ids(case, _integers(case.body))


def _read(case: Any, path: str, query: dict[str, Any]) -> requests.Response:
    address = f"{case.operation.base_url.rstrip('/')}{path}"
    return requests.get(address, params=query, headers=dict(case.headers), timeout=10)


def _issued_cursor(case: Any, query: dict[str, Any], name: str, member: str) -> dict[str, Any]:
    """A cursor from the first page, if it has one."""
    page = _read(case, case.formatted_path, query)
    found = page.json().get(member) if page.ok else None
    return {name: found} if found else {}


def _entity_tag(case: Any) -> str:
    """The present entity tag of the resource; `*` if it cannot be read."""
    return _read(case, case.formatted_path, {}).headers.get("ETag", "*")


def _ascending(query: dict[str, Any]) -> dict[str, Any]:
    """Times in the past, in ascending order."""
    names = [name for name in ("at", "from", "to") if name in query]
    past = sorted((name for name in names), key=lambda name: _moment(query[name]))
    now = datetime.now(UTC).isoformat()
    values = [query[name] if _moment(query[name]) < datetime.now(UTC) else now for name in past]
    return query | dict(zip(names, values, strict=True))


def _moment(said: Any) -> datetime:
    return datetime.fromisoformat(str(said).upper())


def _integers(value: Any) -> Any:
    """Convert 1.0, which is an integer in JSON Schema, to 1, since this API only accepts the latter form."""
    if isinstance(value, dict):
        return {name: _integers(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_integers(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _with_existing_ids(case: Any, body: dict[str, Any]) -> dict[str, Any]:
    """Replace ids and names by existing ones."""
    operation = case.operation.label
    if body.get("product_ids"):
        body["product_ids"] = [PRODUCT]  # only one, since they must differ
    for line in body["lines"] if operation.endswith("/orders") else ():
        line["product_id"] = PRODUCT
    if body.get("up_to"):
        newest = _read(case, "/api/v1/notifications", {}).json().get("newest")
        body["up_to"] = newest
    if "to" in body:
        body["to"] = SELLER
    return body
