"""Completes the operations of the OpenAPI document: operation ids, example bodies, headers of answers."""

import re
from typing import Any

from flask import Flask

from app.currencies import exponents
from app.http.edge.status_names import component

Operation = dict[str, Any]
HEADERS = {
    "ETag": "entity tag of the response, for `If-None-Match`, and for `If-Match` of changes",
    "Location": "URL of the created resource",
    "Retry-After": "seconds after which to retry",
    "Idempotent-Replayed": "`true` if the response is that of an earlier request with the same `Idempotency-Key`",
    "WWW-Authenticate": "`Bearer`, with `error` if a token was sent (RFC 6750)",
    "RateLimit": "remaining quota, if requests are limited (draft-ietf-httpapi-ratelimit-headers)",
    "X-Request-Id": "id of the request in the log",
    "Quartet-Seen": "present if reads go to replicas: the position of the write. Later requests without a session that "
    "send this header see the write; requests with a session do not need it",
}
OF_ERRORS = {401: ["WWW-Authenticate"], 409: ["Retry-After"], 429: ["Retry-After"], 503: ["Retry-After"]}
# Operations whose JSON has no entity tag, since clients do not request it again.
UNTAGGED = {
    "getLiveness",
    "getReadiness",
    "createSession",
    "createComment",
    "getPostDelivery",
    "markNotificationsRead",
    "createDeposit",
    "createTransfer",
}
MONEY = {"amount": 1250, "currency": "EUR"}
# Example bodies, by the name of the schema.
EXAMPLES: dict[str, Any] = {
    "Registration": {
        "handle": "ada",
        "email": "ada@example.com",
        "password": "correct horse battery",
        "display_name": "Ada",
    },
    "ProfileChanges": {"bio": "Mathematics."},
    "Login": {"login": "ada", "password": "correct horse battery", "device": "phone"},
    "PasswordChange": {"current_password": "correct horse battery", "new_password": "seven grey pigeons"},
    "EmailChange": {"password": "correct horse battery", "email": "ada@example.org"},
    "PasswordReset": {"email": "ada@example.com"},
    "NewPassword": {"token": "q0vJ7p3gkqXo2mB8nVfT1d5sYhRzWcEiUaLtGyPjKxM", "new_password": "seven grey pigeons"},
    "EmailVerification": {"token": "q0vJ7p3gkqXo2mB8nVfT1d5sYhRzWcEiUaLtGyPjKxM"},
    "AccountDeletion": {"password": "correct horse battery"},
    "PostDraft": {"title": "Hello", "body": "A first post.", "tags": ["hello"]},
    "PostChanges": {"title": "Hello again"},
    "CommentDraft": {"body": "Well said."},
    "Read": {"up_to": None},
    "ProductDraft": {"title": "Lamp", "category": "home", "price": MONEY, "attributes": {"colour": "green"}},
    "ProductChanges": {"price": MONEY},
    "StockChange": {"on_hand": 12},
    "StockDelta": {"delta": -2},
    "Deposit": {"amount": MONEY},
    "PayoutDraft": {"amount": MONEY},
    "Sending": {"to": "bob", "amount": MONEY, "memo": "For the tickets.", "reference": "invoice-17"},
    "Basket": {
        "lines": [{"product_id": "01939f6e-7b2a-7c4e-9d1f-3a5b7c9d1e2f", "quantity": 1}],
        "expected_total": MONEY,
    },
    "RefundDraft": {"amount": MONEY, "reason": "One of two came broken.", "restock": False},
    "ShipmentDraft": {"lines": [{"number": 1, "quantity": 1}], "reference": "JD014600003"},
    "Refusal": {"reason": "Out of stock."},
}


def complete(document: dict[str, Any], app: Flask) -> dict[str, Any]:
    """Complete and return the document. `app` has the routes; operation ids are the camel-case names of the views."""
    components = document["components"]
    components["headers"] = {
        name: {"description": about, "schema": {"type": "integer" if name == "Retry-After" else "string"}}
        for name, about in HEADERS.items()
    }
    for schema in components["schemas"].values():
        for name, member in schema.get("properties", {}).items():
            # In bodies. Generated clients would treat a member with a default as always present.
            member.pop("default", None)
            if name == "currency" and "enum" in member:
                schema["properties"][name] = {"$ref": "#/components/schemas/Currency"}
    components["schemas"]["Currency"] = _currencies()
    for status, names in OF_ERRORS.items():
        _add_headers(components["responses"].get(component(status), {}), names)
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            operation = document["paths"].get(path, {}).get(method.lower())
            if operation is not None:
                operation["operationId"] = _camel_case(rule.endpoint.rpartition(".")[2])
                _complete(operation, writes=method != "GET")
    return document


def _currencies() -> dict[str, Any]:
    """The schema of currency codes. It is a component of its own, so that generated clients have one type for it."""
    known = exponents()
    few = sorted(set(known.values()) - {2})
    named = {places: ", ".join(sorted(code for code in known if known[code] == places)) for places in few}
    others = "; ".join(f"{places} for {codes}" for places, codes in named.items())
    about = f"ISO 4217 code. Amounts are in the minor unit, which has 2 decimals; {others}."
    return {"type": "string", "enum": sorted(known), "description": about}


def _complete(operation: Operation, *, writes: bool) -> None:
    for body in operation.get("requestBody", {}).get("content", {}).values():
        body["example"] = EXAMPLES[body["schema"]["$ref"].rpartition("/")[2]]
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "query":
            _complete_query(parameter)
    keyed = any(parameter["name"] == "Idempotency-Key" for parameter in operation.get("parameters", []))
    for status, answer in operation["responses"].items():
        if "$ref" not in answer and status != "default":
            names = ["X-Request-Id", "RateLimit"]
            tagged = "application/json" in answer.get("content", {}) and operation["operationId"] not in UNTAGGED
            names += ["ETag"] if tagged else []
            names += ["Idempotent-Replayed"] if keyed and status.startswith("2") else []
            names += ["Quartet-Seen"] if status.startswith("2") and writes else []
            _add_headers(answer, names)


def _complete_query(parameter: dict[str, Any]) -> None:
    """Remove null from a query parameter's types, since a query can only omit a parameter; declare `attr[...]`."""
    schema = parameter["schema"]
    if schema.get("type") == "object":
        parameter |= {"name": "attr", "style": "deepObject", "explode": True}
    if isinstance(schema.get("type"), list):
        schema["type"] = next(kind for kind in schema["type"] if kind != "null")
        schema.pop("default")


def _add_headers(answer: dict[str, Any], names: list[str]) -> None:
    if answer:
        answer["headers"] = {
            **answer.get("headers", {}),
            **{name: {"$ref": f"#/components/headers/{name}"} for name in names},
        }


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)
