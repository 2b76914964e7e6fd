"""One idempotency key: used concurrently by two threads, and again after the reply was cut off."""

import functools
import http.client
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from config import Settings
from tests.apps import BASE, RELATIONAL, Person, embedded, running
from tests.contracts.relational_store import migrated_database
from tests.engines import Shared
from tests.shop import Clock, Shop
from tests.system.live import HOST, Live, run
from tests.system.money.conftest import Starter
from tests.system.money.cutting_proxy import CuttingProxy

pytestmark = pytest.mark.live

TURNS = 100
KEPT = ("content-type", "location", "etag")


def _money(amount: int) -> dict[str, Any]:
    return {"amount": {"amount": amount, "currency": "EUR"}}


@pytest.fixture(params=RELATIONAL)
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    changes: dict[str, Any] = {}
    if request.param == "postgres":
        engines: Shared = request.getfixturevalue("engines")
        changes = {"relational_url": migrated_database(engines.postgres()), "relational_timeout": 10.0}
    clock = Clock()
    with running(Settings(**embedded(tmp_path) | changes), clock) as system:
        yield Shop(system, clock)


def test_two_concurrent_requests_with_one_key_take_effect_once(shop: Shop) -> None:
    """On each route in turn: the second request is refused as in flight, or gets the same bytes."""
    shop.buyer.rich(99_000)
    shop.seller.put(f"/products/{shop.lamp}/stock", {"on_hand": 1000}, 200, etag="*")
    routes: list[tuple[str, Any]] = [
        ("/wallet/transfers", {"to": "seller", **_money(7)}),
        ("/wallet/deposits", _money(5)),
        ("/orders", {"lines": [{"product_id": shop.lamp, "quantity": 1}]}),
    ]
    seen: Counter[int] = Counter()
    with ThreadPoolExecutor(2) as pool:
        for turn in range(TURNS):
            path, body = routes[turn % len(routes)]
            answers = _at_once(pool, [functools.partial(_second_client(shop).keyed, path, body, f"key-{turn}")] * 2)
            _assert_one(answers)
            seen += Counter(answer.status_code for answer in answers)
    turns = [len(range(start, TURNS, len(routes))) for start in range(len(routes))]
    assert seen[201] >= TURNS
    assert shop.owned() == (100_000 - 7 * turns[0] + 5 * turns[1], 100 * turns[2])
    assert shop.owned(shop.seller)[0] == 7 * turns[0]
    assert shop.stock() == 1000 - turns[2]
    assert len(shop.buyer.get("/wallet/entries", limit=100)["items"]) == turns[0] + turns[1] + 2
    assert shop.audit() == []


@pytest.fixture(params=RELATIONAL)
def server(request: pytest.FixtureRequest, start: Starter, tmp_path: Path) -> Live:
    settings: dict[str, str] = {}
    if request.param == "postgres":
        engines: Shared = request.getfixturevalue("engines")
        settings = {"RELATIONAL_URL": migrated_database(engines.postgres()), "RELAY": "inline"}
    assert run(tmp_path, "migrate", **settings).returncode == 0
    return start(**settings).answering()


def test_a_reply_that_was_cut_off_is_given_again(server: Live) -> None:
    """The proxy forwards the request, waits for the complete reply, and closes the client's connection."""
    ada, bob = server.person("ada"), server.person("bob")
    handle = bob.handle
    with CuttingProxy(HOST, server.port) as cut:
        deposit = '{"amount": {"amount": 500, "currency": "EUR"}}'
        permuted = '{ "amount":{"currency" :"EUR","amount":500} }'
        transfer = f'{{"to": "{handle}", "amount": {{"amount": 30, "currency": "EUR"}}}}'
        turned = f'{{"amount": {{"currency": "EUR", "amount": 30}}, "to": "{handle}"}}'
        for path, body, same in (
            ("/wallet/deposits", deposit, permuted),
            ("/wallet/transfers", transfer, turned),
        ):
            with pytest.raises((OSError, http.client.HTTPException)):
                _raw(cut.port, str(ada.token), path, body, "one")
            lost = _parsed(cut.replies[-1])
            assert (lost[0], "location" in lost[1]) == (201, True)
            assert "idempotent-replayed" not in lost[1]
            for text in (body, same):
                again = _raw(server.port, str(ada.token), path, text, "one")
                assert again[1]["idempotent-replayed"] == "true"
                assert _kept(again) == _kept(lost)
            other = body.replace("0", "1")
            status, _, told = _raw(server.port, str(ada.token), path, other, "one")
            assert (status, json.loads(told)["code"]) == (422, "idempotency_key_reused")
    assert _owned(ada) == 470
    assert _owned(bob) == 30
    assert bob.ask("POST", "/wallet/deposits", _money(500), Idempotency_Key="one")["to_id"] != ""
    assert (_owned(ada), _owned(bob)) == (470, 530)


def _second_client(shop: Shop) -> Person:
    return Person(shop.system.app.test_client(), shop.buyer.token, shop.buyer.account)


def _at_once(pool: ThreadPoolExecutor, jobs: list[Callable[[], TestResponse]]) -> list[TestResponse]:
    barrier = threading.Barrier(len(jobs))

    def job_at_the_barrier(job: Callable[[], TestResponse]) -> TestResponse:
        barrier.wait()
        return job()

    return list(pool.map(job_at_the_barrier, jobs))


def _assert_one(answers: list[TestResponse]) -> None:
    made = [answer for answer in answers if answer.status_code == 201]
    others = [answer for answer in answers if answer.status_code != 201]
    assert len({answer.data for answer in made}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in made) == 1
    assert all(answer.get_json(force=True)["code"] == "idempotency_key_in_flight" for answer in others)


def _owned(person: Any) -> int:
    return int(person.ask("GET", "/wallet")["items"][0]["posted"]["amount"])


Reply = tuple[int, dict[str, str], bytes]


def _raw(port: int, token: str, path: str, body: str, key: str) -> Reply:
    """The status, the headers and the bytes of the answer."""
    connection = http.client.HTTPConnection(HOST, port, timeout=20)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Idempotency-Key": key}
    try:
        connection.request("POST", BASE + path, body.encode(), headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def _parsed(raw: bytes) -> Reply:
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    names = dict(line.split(": ", 1) for line in lines)
    return int(first.split()[1]), {name.lower(): value for name, value in names.items()}, body


def _kept(reply: Reply) -> tuple[Any, ...]:
    return reply[0], reply[2], [reply[1].get(name) for name in KEPT]
