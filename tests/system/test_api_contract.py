"""The API compared with its own document: each operation gets valid requests, and ones with a single violation."""

import copy
import json
import os
import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from config import Settings
from tests import search_service
from tests.apps import PASSWORD, Person, System, embedded, running
from tests.system.document import DOCUMENT, OPERATIONS, Operation, first, from_query, kind_of, misfits, resolved

EXAMPLES = int(os.environ.get("QUARTET_BODY_EXAMPLES", "2"))
NULLABLE_TEXT: list[Any] = ["", " ", "x" * 50_000, "a\x00b", "a\x1b[31m\r\n", "é\u0301🎉\u202eאب", "İ", "\ufffe\uffff"]
HOSTILE: list[Any] = [
    *NULLABLE_TEXT, None, True, 0, -1, 5, 1.5, -0.0, 2**31, 2**63, -(2**63) - 1, 10**90, 1e308,
    [], [None], ["a", "a"], [["a"]], [{}], {}, {"$gt": ""}, {"": 1}, {"a": {"b": [1]}},
    json.loads("[" * 200 + "]" * 200),
]  # fmt: skip
MALFORMED = [
    b"", b"{", b"\xff", b"{} {}", b'{"a": NaN}', b'{"a": -Infinity}', b'{"a": ' + b"9" * 5000 + b"}", b'{"a": 1e999}',
    b"[" * 100_000, b'{"a":' * 40_000, b'{"a": 1, "a": 1}', b'{"a": "\\ud800"}', b'{"a": "\x01"}', b"{'a': 1}",
]  # fmt: skip
QUERIES = ["", "0", "-1", "101", "1e3", "9" * 5000, "true", "x", "\x00", "a\r\nb", "🎉", "%", "[]", "x" * 2000, "٣"]
PATHS = [
    "", " ", ".", "..", "%2e%2e", "%00", "%0a", "%ff", "%ed%a0%80", "x" * 5000, "🎉", "null", "-1", "0", "1" * 40,
    "1;x=1", "'--", "{handle}", "00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-00000000000g",
]  # fmt: skip
CONDITIONS = ["", "1", '"1"', '"', ",", 'W/"0-0000000000000000"', '"99-0000000000000000"', '"' + "9" * 5000 + '-a"']
TOKENS = ["", "Bearer", "Bearer x", "Bearer " + "x" * 5000, "Basic eA==", "Bearer é", "bearer null"]

every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: f"{o.method} {o.path}")
every_body = pytest.mark.parametrize(
    "operation", [o for o in OPERATIONS if o.body], ids=lambda o: f"{o.method} {o.path}"
)


class World(NamedTuple):
    """A person with one resource of each kind, and `values` for paths. The order was sold by that person and is paid,
    partly sent and refunded; `placed` are orders that can still be cancelled or refused.
    """

    person: Person
    values: dict[str, str]
    placed: dict[str, str]

    def good_body(self, operation: Operation) -> Any:
        """A valid body, which refers to existing resources."""
        if operation.path.endswith("/orders"):
            return {"lines": [{"product_id": self.values["other_product_id"], "quantity": 1}]}
        if operation.path.endswith("/shipments"):
            return {"lines": [{"number": 1, "quantity": 1}], "reference": "1"}
        body = good_body(operation.body, self.person, self.values["handle"])
        if operation.path.endswith("/me/email"):
            body["email"] = f"{self.person.handle}@example.org"
        if "token" in body:
            body["token"] = self.person.mailed("reset" if "reset" in operation.path else "verify")
        return body

    def send(self, operation: Operation, body: Any = None, query: str = "", **more: Any) -> TestResponse:
        placed = self.placed.get(operation.path.rpartition("/")[2], self.values["order_id"])
        values = self.values | {"order_id": placed} | more.pop("values", {})
        known = {"If-Match": "*", "Idempotency-Key": uuid4().hex, "Last-Event-ID": "unknown.1"}
        headers = {p["name"]: known[p["name"]] for p in operation.named("header")} | more.pop("headers", {})
        query = query or "&".join(f"{p['name']}=words" for p in operation.named("query") if p.get("required"))
        path = operation.path.format(**values).removeprefix("/api/v1")
        options = {"data": body, "content_type": "application/json"} if isinstance(body, bytes) else {"json": body}
        return self.person.send(
            operation.method, f"{path}?{query}", headers=headers, **(options if operation.body else {})
        )


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    settings = embedded(tmp_path_factory.mktemp("contract")) | {"login_failures": 0}
    with running(Settings(**settings)) as found:
        yield found


@pytest.fixture
def world(system: System) -> World:
    """A world that the test may change."""
    return made(system)


@pytest.fixture(scope="module")
def calm(system: System) -> World:
    """A shared world, for tests whose requests are all refused or change nothing."""
    return made(system)


def made(system: System) -> World:
    person, other = system.person().rich(1000), system.person().rich(1000)
    post = person.publish()
    search_service.index()
    person.post(f"/posts/{post}/comments", {"body": "b"})
    product, other_product = offered(person), offered(other)
    values = {
        "handle": other.handle,
        "post_id": post,
        "product_id": product,
        "other_product_id": other_product,
        "session_id": person.get("/sessions")["items"][0]["id"],
        "number": "1",
        "order_id": ordered(other, product, 5),
    }
    system.container.money.settlement.settle(UUID(values["order_id"]))
    part = {"amount": {"amount": 1, "currency": "EUR"}}
    values["transfer_id"] = values["refund_id"] = person.pay(f"/orders/{values['order_id']}/refunds", part)["id"]
    values["payout_id"] = person.pay("/wallet/payouts", part)["id"]
    sent = {"lines": [{"number": 1, "quantity": 1}]}
    values["shipment_id"] = person.pay(f"/orders/{values['order_id']}/shipments", sent)["id"]
    return World(person, values, {"cancel": ordered(person, other_product), "refuse": ordered(other, offered(person))})


def offered(seller: Person) -> str:
    body = {"title": "t", "category": "c", "price": {"amount": 1, "currency": "EUR"}}
    product = str(seller.post("/products", body)["product"]["id"])
    seller.put(f"/products/{product}/stock", {"on_hand": 1000}, 200, etag="*")
    return product


def ordered(buyer: Person, product: str, quantity: int = 1) -> str:
    return str(buyer.pay("/orders", {"lines": [{"product_id": product, "quantity": quantity}]})["id"])


def good_body(schema: Any, person: Person, other: str = "") -> Any:
    """A body that matches its schema; `other` is another person's handle."""
    known: dict[str, Any] = {"login": person.handle, "handle": f"{person.handle}_b", "email": "a@example.com"}
    known |= {"password": PASSWORD, "current_password": PASSWORD, "new_password": "seven grey pigeons"}
    known |= {"currency": "EUR", "image_url": "https://example.com/a.png", "to": other}
    known |= {"up_to": "00000000-0000-7000-8000-000000000000", "delta": 1, "restock": True, "forfeit": True}
    return {
        name: known.get(name) or _example(resolved(inner), person)
        for name, inner in resolved(schema)["properties"].items()
    }


# Media types of streams, whose bodies are not read here, since they may be endless.
STREAMS = {"text/event-stream", "text/jsonl", "text/csv"}


def check(operation: Operation, response: TestResponse) -> None:
    """Check what must hold for every answer, whatever was sent."""
    status, described = response.status_code, operation.described["responses"]
    assert status < 500, response.text
    assert str(status) in described or status in {401, 404, 405}, f"{status} is not documented: {response.text}"
    assert response.headers["X-Request-Id"]
    assert operation.method == "GET" or response.headers["Cache-Control"] == "private, no-store"
    if status == 204:
        assert response.data == b""
        assert "Content-Type" not in response.headers
        return
    if response.mimetype in STREAMS:
        assert response.mimetype in resolved(described[str(status)])["content"]
        response.close()
        return
    body = json.loads(response.data)
    content = resolved(described.get(str(status), described["default"]))["content"]
    assert response.content_type in content
    assert not misfits(body, content[response.content_type]["schema"]), body
    if status >= 400:
        assert (body["status"], body["request_id"]) == (status, response.headers["X-Request-Id"])
        assert all(isinstance(e["pointer"], str) and e["detail"] for e in body.get("errors", []))


@every_operation
def test_a_valid_request_succeeds(world: World, operation: Operation) -> None:
    body = world.good_body(operation) if operation.body else None
    if "forfeit" in (body or {}):  # an account with an unfulfilled order is not deleted
        world.person.pay(f"/orders/{world.values['order_id']}/fulfil", status=200)
        world.person.pay(f"/orders/{world.placed['refuse']}/refuse", {}, status=200)
    response = world.send(operation, body)
    check(operation, response)
    assert response.status_code < 300, response.text


@every_body
def test_an_invalid_body_is_a_422(calm: World, operation: Operation) -> None:
    good, schema = calm.good_body(operation), resolved(operation.body)
    wrong: list[Any] = [{k: v for k, v in good.items() if k != name} for name in schema.get("required", [])]
    wrong += [{**good, "unexpected": 1}, {**good, "": 1}, {**good, "__proto__": {}}, [], [good], "text", 5, None]
    for body in wrong:
        response = calm.send(operation, json.dumps(body).encode())
        check(operation, response)
        assert response.status_code == 422, body


@every_body
def test_hostile_values_in_each_field_are_valid_or_a_422(world: World, operation: Operation) -> None:
    good = world.good_body(operation)
    for path in _places(good):
        for value in HOSTILE:
            body = _with(good, path, value)
            response = world.send(operation, json.dumps(body).encode())
            check(operation, response)
            if misfits(body, operation.body):
                assert response.status_code == 422, (path, value)


@every_body
def test_malformed_json_is_a_400(calm: World, operation: Operation) -> None:
    for raw in MALFORMED if operation.described["requestBody"]["required"] else MALFORMED[1:]:
        response = calm.send(operation, raw)
        check(operation, response)
        assert response.status_code == 400, raw[:40]


@pytest.mark.long
@every_body
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_json_is_answered(world: World, operation: Operation, data: st.DataObject) -> None:
    leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
    anything = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner))
    good = world.good_body(operation)
    changed = data.draw(st.dictionaries(st.sampled_from(sorted(good)), anything, min_size=1))
    body = data.draw(st.just({**good, **changed}) | leaves)
    response = world.send(operation, json.dumps(body).encode())
    check(operation, response)
    if misfits(body, operation.body) or "\\ud" in json.dumps(body, ensure_ascii=False).lower():
        assert response.status_code in {400, 422}


@every_operation
def test_invalid_queries_are_a_400(calm: World, operation: Operation) -> None:
    for parameter in operation.named("query"):
        for value in QUERIES:
            response = calm.send(operation, query=f"{quote(parameter['name'])}={quote(value)}")
            check(operation, response)
            if misfits(from_query(value, parameter["schema"]), parameter["schema"]):
                assert response.status_code == 400, (parameter["name"], value)
    if operation.named("query"):
        for query in ("unexpected=1", "limit=1&unexpected", "=", "%ff=%ff", "limit=5&limit=6", "cursor=a&cursor=b"):
            response = calm.send(operation, query=query)
            check(operation, response)
            assert response.status_code == 400, query


@every_operation
def test_invalid_path_values_are_not_found(calm: World, operation: Operation) -> None:
    body = calm.good_body(operation) if operation.body else None
    for parameter in operation.named("path"):
        for value in PATHS:
            response = calm.send(operation, body, values={parameter["name"]: value})
            check(operation, response)
            assert response.status_code in {404, 405} or parameter["name"] == "handle", value


@every_operation
def test_invalid_tokens_are_a_401_and_conditions_a_412(calm: World, operation: Operation) -> None:
    body = calm.good_body(operation) if operation.body else None
    if operation.described.get("security"):
        for token in TOKENS:
            response = calm.send(operation, body, headers={"Authorization": token})
            check(operation, response)
            assert response.status_code == 401, token
    if "If-Match" in {p["name"] for p in operation.named("header")}:
        for condition in CONDITIONS:
            response = calm.send(operation, body, headers={"If-Match": condition})
            check(operation, response)
            assert response.status_code == 412, condition


def test_patterns_use_no_anchors_that_json_schema_lacks() -> None:
    assert re.findall(r'"pattern": "[^"]*\\\\[AZz]', json.dumps(DOCUMENT)) == []


def _example(schema: Any, person: Person) -> Any:
    kind, schema = kind_of(schema), first(schema)
    if kind == "object":
        return good_body(schema, person) if "properties" in schema else {"color": "red"}
    if kind == "array":
        return []
    return schema.get("minimum", 1) if kind == "integer" else "words words"


def _places(body: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, value in body.items():
        yield (name,)
        if isinstance(value, dict):
            yield from ((name, *inner) for inner in _places(value))


def _with(body: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(body)
    place = changed
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return changed
