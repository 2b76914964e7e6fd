"""What schemathesis cannot invent: values that only the server gives out. Loaded by schemathesis, not by pytest.

Only where a request is to be a good one. What is to be refused is sent as it was generated.
"""

import os
from typing import Any
from uuid import uuid4

import requests
import schemathesis

PAST = {"at": "2020-01-01T00:00:00Z", "from": "2010-01-01T00:00:00Z", "to": "2020-01-01T00:00:00Z"}
# Somebody else, and something of theirs with many units in stock.
SELLER, PRODUCT = os.environ["FUZZED_SELLER"], os.environ["FUZZED_PRODUCT"]


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """A tag that fits, a key not used before, a cursor of this very list, things that are there."""
    if case.meta is None or case.meta.generation.mode.is_negative:
        return
    if "If-Match" in case.headers:
        case.headers["If-Match"] = "*"
    if "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = uuid4().hex
    if "/wallet/entries" in case.operation.path or "/wallet/statement" in case.operation.path:
        asked = case.query or {}
        # A currency is needed as soon as there are several, and moments have to be past, in their order.
        case.query = {"currency": "EUR"} | asked | {name: PAST[name] for name in PAST if name in asked}
    for name, member in (("cursor", "next"), ("after", "prev")):
        if name in (case.query or {}):
            others = {k: v for k, v in case.query.items() if k not in {"cursor", "after"}}
            case.query = others | _issued(case, {**others, "limit": 1}, name, member)
    if isinstance(case.body, dict):
        case.body = _fitting(case.operation.label, _whole(case.body))


def _issued(case: Any, query: dict[str, Any], name: str, member: str) -> dict[str, Any]:
    """Of the page before, if there is one."""
    address = f"{case.operation.base_url.rstrip('/')}{case.formatted_path}"
    page = requests.get(address, params=query, headers=dict(case.headers), timeout=10)
    found = page.json().get(member) if page.ok else None
    return {name: found} if found else {}


def _whole(value: Any) -> Any:
    """For JSON Schema 1.0 is an integer. This API takes integers written as such."""
    if isinstance(value, dict):
        return {name: _whole(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_whole(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _fitting(operation: str, body: dict[str, Any]) -> dict[str, Any]:
    if body.get("product_ids"):
        body["product_ids"] = [PRODUCT]
    if operation.endswith("/shipments"):
        for number, line in enumerate(body.get("lines") or (), 1):
            line["number"] = number  # each once
    for line in body["lines"] if operation.endswith("/orders") else ():
        line |= {"product_id": PRODUCT, "quantity": 1 + line["quantity"] % 1000}  # the total has to be an amount
    if "delta" in body:
        body["delta"] %= 1000  # the sum has to be a number of units
    if body.get("up_to"):
        del body["up_to"]  # everything there is
    if "to" in body:
        body["to"] = SELLER
    if operation.endswith("/wallet/deposits"):
        body["amount"]["amount"] = 1 + body["amount"]["amount"] % 1000  # the sandbox declines large ones
    return body
