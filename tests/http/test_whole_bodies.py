"""A request that is incomplete or ambiguous has no effect."""

import gzip
import io
import json
from typing import Any
from uuid import uuid4

import pytest

from config import Settings
from tests.apps import Person, embedded, running
from tests.http.drives import DRIVES, Route
from tests.http.world import EUR, LAMP, ShiftedClock, World

WRITES = sorted(route for route in DRIVES if route[0] not in {"GET", "HEAD"})
ANNOUNCED: list[dict[str, Any]] = [
    {"CONTENT_LENGTH": "60"},
    {"CONTENT_LENGTH": "60", "wsgi.input_terminated": True},
    {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True},
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Any:
    clock = ShiftedClock()
    with running(Settings(**embedded(tmp_path_factory.mktemp("whole"))), clock) as system:
        yield World(system, clock, real=False)


def send_incomplete(
    person: Person, method: str, path: str, environ: dict[str, Any], sent: bytes = b"", key: str = ""
) -> Any:
    headers = {"Idempotency-Key": key or str(uuid4()), "If-Match": "*"}
    return person.send(
        method,
        path,
        input_stream=io.BytesIO(sent),
        headers=headers,
        content_type="application/json",
        environ_overrides=environ,
    )


@pytest.mark.parametrize("environ", ANNOUNCED)
@pytest.mark.parametrize("route", WRITES, ids=" ".join)
def test_an_incomplete_body_is_a_400_on_every_route(world: World, route: Route, environ: dict[str, Any]) -> None:
    call = DRIVES[route](world, 1)
    response = send_incomplete(call.who, route[0], call.path, environ)
    assert (response.status_code, json.loads(response.data)["code"]) == (400, "incomplete_body")


@pytest.mark.parametrize("environ", ANNOUNCED)
def test_a_refund_with_an_incomplete_body_moves_nothing_and_frees_its_key(
    world: World, environ: dict[str, Any]
) -> None:
    buyer, seller, order = world.order(paid=True)
    before, key = buyer.available(), str(uuid4())
    assert send_incomplete(seller, "POST", f"/orders/{order}/refunds", environ, key=key).status_code == 400
    assert (buyer.available(), seller.get(f"/orders/{order}")["state"]) == (before, "paid")
    part = seller.pay(f"/orders/{order}/refunds", {"amount": EUR | {"amount": 1}}, 201, key)
    assert part["amount"]["amount"] == 1


@pytest.mark.parametrize("announced", [25, 500, 262144])
def test_complete_json_in_an_incomplete_body_is_refused(world: World, announced: int) -> None:
    body = b'{"title":"a","body":"b"}'
    assert len(body) == 24
    response = send_incomplete(world.person(), "POST", "/posts", {"CONTENT_LENGTH": str(announced)}, body)
    assert (response.status_code, json.loads(response.data)["code"]) == (400, "incomplete_body")


def test_authentication_and_routing_come_before_the_body(world: World) -> None:
    assert send_incomplete(world.system.anybody(), "POST", "/posts", ANNOUNCED[0]).status_code == 401
    assert send_incomplete(world.person(), "POST", "/nowhere", ANNOUNCED[0]).status_code == 404


@pytest.mark.parametrize("coding", ["gzip, chunked", "chunked, chunked", "gzip", "identity", "chunked;x=1"])
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_other_transfer_codings_are_a_501(world: World, method: str, coding: str) -> None:
    response = world.system.anybody().send(method, "/posts", headers={"Transfer-Encoding": coding})
    assert (response.status_code, json.loads(response.data)["code"]) == (501, "transfer_coding_unsupported")


@pytest.mark.parametrize("coding", ["gzip", "br", "GZIP", "identity, gzip", "x"])
@pytest.mark.parametrize("path", ["/posts", "/notifications/read"])
def test_a_coded_body_is_a_415_with_the_accepted_coding(world: World, path: str, coding: str) -> None:
    for body in (gzip.compress(b"{}"), b"{}"):
        response = world.person().send("POST", path, data=body, headers={"Content-Encoding": coding})
        assert (response.status_code, json.loads(response.data)["code"]) == (415, "content_coding_unsupported")
        assert response.headers["Accept-Encoding"] == "identity"


def test_the_coding_identity_is_accepted(world: World) -> None:
    body = {"title": "a", "body": "b"}
    assert world.person().send("POST", "/posts", json=body, headers={"Content-Encoding": "identity"}).status_code == 201


FRACTIONS = [
    "1.0",
    "1e3",
    "1E0",
    "100.0",
    "0.99999999999999999999",
    "9007199254740993.0",
    "1e-1",
    "-0.0",
    "true",
    '"1"',
]


@pytest.mark.parametrize("number", FRACTIONS)
def test_integers_are_written_as_integers(world: World, number: str) -> None:
    ada, lamp = world.person(), world.lamp(world.person())
    money = f'{{"amount": {number}, "currency": "EUR"}}'
    _, seller, order = world.order(paid=True)
    own = world.lamp(ada)
    wrong = [
        (ada, "POST", "/wallet/deposits", f'{{"amount": {money}}}'),
        (ada, "POST", "/wallet/transfers", f'{{"to": "{seller.handle}", "amount": {money}}}'),
        (ada, "POST", "/orders", f'{{"lines": [{{"product_id": "{lamp}", "quantity": {number}}}]}}'),
        (seller, "POST", f"/orders/{order}/refunds", f'{{"amount": {money}}}'),
        (ada, "POST", "/products", json.dumps(LAMP | {"price": "P"}).replace('"P"', money)),
        (ada, "PATCH", f"/products/{own}", f'{{"price": {money}}}'),
        (ada, "PUT", f"/products/{own}/stock", f'{{"on_hand": {number}}}'),
    ]
    for who, method, path, body in wrong:
        headers = {"Idempotency-Key": str(uuid4()), "If-Match": "*"}
        response = who.send(method, path, data=body, headers=headers, content_type="application/json")
        assert (response.status_code, json.loads(response.data)["code"]) == (422, "validation_failed"), (path, number)


@pytest.mark.parametrize(
    ("without", "status", "code"),
    [("late", 408, "request_timeout"), ("crowded", 429, "too_many_requests"), ("full", 503, "overloaded")],
)
def test_the_reason_for_not_reading_a_body_is_the_answer(world: World, without: str, status: int, code: str) -> None:
    response = world.person().send("POST", "/posts", json={}, environ_overrides={"quartet.without": without})
    assert (response.status_code, json.loads(response.data)["code"]) == (status, code)
    assert ("Retry-After" in response.headers) == (status != 408)


@pytest.mark.parametrize("lost", [0, 63, 64])
def test_readiness_reports_lost_threads(world: World, lost: int) -> None:
    response = world.system.anybody().send("GET", "/health/ready", environ_overrides={"quartet.lost": lost})
    assert (response.status_code, json.loads(response.data)["lost_threads"]) == (200 if lost < 64 else 503, lost)


@pytest.mark.parametrize("keys", ["a,b", "a, b", "a,a"])
def test_two_idempotency_keys_are_malformed(world: World, keys: str) -> None:
    """Two header lines arrive like this, since the server joins them."""
    for path, body in (("/posts", {"title": "a", "body": "b"}), ("/wallet/deposits", {"amount": EUR})):
        assert world.person().pay(path, body, 400, keys)["code"] == "idempotency_key_malformed"
