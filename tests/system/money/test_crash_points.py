"""A process ends at every point of every money route; repeating the request with its key gives one answer and one
effect.
"""

import logging
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from werkzeug.test import TestResponse

from app.services.commands.idempotency import LEASE
from config import Settings
from tests.apps import Person, embedded, running
from tests.contracts.relational_store import migrated_database
from tests.engines import Shared
from tests.engines.kernel import wait_until
from tests.shop import Clock, Shop
from tests.system.money.differences import differences
from tests.system.money.dying_process import ProcessEnd, ProcessRequest, send

pytestmark = pytest.mark.live

log = logging.getLogger(__name__)
NEVER = 10**6
POINT_EVERY = int(os.environ.get("QUARTET_POINT_EVERY", "5"))
PAID_OUT = 7
VARYING = {"id", "order_id", "created_at", "updated_at", "ended_at"}
Route = Callable[[Shop], tuple[Person, str, Any]]


def _money(amount: int) -> dict[str, Any]:
    return {"amount": {"amount": amount, "currency": "EUR"}}


_ONE_UNIT = {"lines": [{"number": 1, "quantity": 1}], "reference": "A1"}
ROUTES: dict[str, Route] = {
    "deposit": lambda shop: (shop.buyer, "/wallet/deposits", _money(7)),
    "payout": lambda shop: (shop.buyer, "/wallet/payouts", _money(PAID_OUT)),
    "transfer": lambda shop: (shop.buyer, "/wallet/transfers", {"to": "seller", **_money(3)}),
    "order": lambda shop: (shop.buyer, "/orders", {"lines": [{"product_id": shop.lamp, "quantity": 2}]}),
    "cancel": lambda shop: (shop.buyer, f"/orders/{shop.placed()}/cancel", None),
    "fulfil": lambda shop: (shop.seller, f"/orders/{shop.paid()}/fulfil", None),
    "shipment": lambda shop: (shop.seller, f"/orders/{shop.paid()}/shipments", _ONE_UNIT),
    "refusal": lambda shop: (shop.seller, f"/orders/{shop.placed()}/refuse", {}),
    "refusal of what is paid": lambda shop: (shop.seller, f"/orders/{shop.paid()}/refuse", {"reason": "Broken."}),
    "part of a refund": lambda shop: (shop.seller, f"/orders/{shop.paid()}/refunds", _money(5)),
    "refund": lambda shop: (shop.seller, f"/orders/{shop.paid()}/refunds", {}),
}


@pytest.fixture(params=["embedded", pytest.param("postgres", marks=pytest.mark.engines)])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def settings(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    changes: dict[str, Any] = {}
    if engine == "postgres":
        engines: Shared = request.getfixturevalue("engines")
        changes = {"relational_url": migrated_database(engines.postgres()), "relational_timeout": 10.0}
    return Settings(**embedded(tmp_path) | changes)


@pytest.fixture
def shop(settings: Settings) -> Iterator[Shop]:
    clock = Clock()
    with running(settings, clock) as system:
        found = Shop(system, clock)
        found.buyer.rich(100_000).pay("/wallet/transfers", {"to": "seller", **_money(1000)})
        found.seller.put(f"/products/{found.lamp}/stock", {"on_hand": 1000}, 200, etag="*")
        yield found
        assert found.audit() == []
        assert differences(found) == []


@pytest.mark.proof(on="engines")
@pytest.mark.parametrize("name", ROUTES)
def test_a_retry_after_a_death_at_any_point_has_one_effect(
    shop: Shop, settings: Settings, engine: str, name: str
) -> None:
    # The first order stores the product's offer, so that all later ones make the same calls.
    assert CrashedRequest(shop, settings, ROUTES[name], NEVER).end.survived
    whole = CrashedRequest(shop, settings, ROUTES[name], NEVER)
    assert whole.end.survived
    count, expected = len(whole.end.passed), whole.changed()
    assert count >= 5
    # Always with the last three, around the commit. On PostgreSQL only a few others.
    points = sorted({*range(0, count, POINT_EVERY if engine == "embedded" else 5), *range(count - 3, count)})
    for point in points:
        _die_and_ask_again(CrashedRequest(shop, settings, ROUTES[name], point), whole, expected, point)
    log.info("%s: %d of %d points", name, len(points), count)


@pytest.mark.parametrize("name", ["deposit", "payout"])
def test_a_payment_whose_client_does_not_retry_is_completed_once(
    shop: Shop, settings: Settings, engine: str, name: str
) -> None:
    shop.system.relay.drain()
    whole = CrashedRequest(shop, settings, ROUTES[name], NEVER)
    expected = whole.changed()
    for point in range(0, len(whole.end.passed), POINT_EVERY if engine == "embedded" else 4):
        death = CrashedRequest(shop, settings, ROUTES[name], point)
        shop.system.relay.drain()
        assert death.changed() == (expected if death.end.commits else _no_changes(expected)), point
        answer = death.ask()
        assert (answer.status_code, death.changed()) == (201, expected), answer.data
        shop.system.relay.drain()
        assert death.changed() == expected


class CrashedRequest:
    """One request whose process ended at one point, and the state that it left."""

    def __init__(self, shop: Shop, settings: Settings, route: Route, point: int) -> None:
        self._shop = shop
        self._person, self.path, self._body = route(shop)
        self._key = str(uuid4())
        self._before = self._state()
        # Puts the available units into the cache.
        shop.stock()
        self._upto: list[int] | None = None
        request = ProcessRequest(str(self._person.token), self.path, self._body, self._key)
        self.end: ProcessEnd = send(settings, shop.clock(), request, point)
        # The other process's clock has advanced meanwhile.
        shop.clock.now += timedelta(seconds=1)

    def changed(self) -> list[int]:
        """The changes of balances, holds, stock, entries, orders and events. If the process survived, those measured
        right after the request.
        """
        if self._upto is None or not self.end.survived:
            self._upto = self._state()
        return [now - then for now, then in zip(self._upto, self._before, strict=True)]

    def ask(self) -> TestResponse:
        """Repeat the request in this process, after the lease of the dead one, until the database has noticed its
        death.
        """
        self._shop.clock.now += LEASE
        found: list[TestResponse] = []

        def told() -> bool:
            found[:] = [self._person.keyed(self.path, self._body, self._key)]
            return b"idempotency_key_in_flight" not in found[0].data and found[0].status_code != 503

        assert wait_until(told, 20), found[0].data
        return found[0]

    def shows_stock(self) -> bool:
        """Whether the units shown are the present ones: after an answer, no older value may be shown."""
        return self._shop.stock() == self._available()

    def _available(self) -> int:
        lamp = UUID(self._shop.lamp)
        return self._shop.system.container.stores.relational.stock.available([lamp])[lamp]

    def _state(self) -> list[int]:
        shop = self._shop
        store = shop.system.container.stores.relational
        orders = shop.buyer.get("/orders", limit=100)["items"]
        entries = [p.get("/wallet/entries", limit=1)["items"] for p in (shop.buyer, shop.seller)]
        return [
            *shop.owned(),
            *shop.owned(shop.seller),
            self._available(),
            *(page[0]["sequence"] if page else 0 for page in entries),
            len(orders),
            sum(order["version"] for order in orders),
            # Each attempt publishes an event of the payment, but the relay applies it only once.
            0 if self.path in {"/wallet/deposits", "/wallet/payouts"} else store.outbox.backlog().unsent,
        ]


def _die_and_ask_again(death: CrashedRequest, whole: CrashedRequest, expected: list[int], point: int) -> None:
    assert not death.end.survived
    finished = death.end.commits == whole.end.commits
    left = death.changed()
    held = death.path == "/wallet/payouts" and left == [0, PAID_OUT, *_no_changes(expected)[2:]]
    assert left == expected or (not finished and (held or left == _no_changes(expected))), (point, left)
    first, again = death.ask(), death.ask()
    assert death.changed() == expected, (point, death.end.passed[-3:])
    assert first.status_code < 300, first.data
    assert first.headers.get("Idempotent-Replayed") == ("true" if finished else None), point
    assert again.headers.get("Idempotent-Replayed") == "true"
    assert (first.status_code, first.data) == (again.status_code, again.data)
    assert _shape(first) == _shape(whole.ask())
    assert death.shows_stock()


def _shape(answer: TestResponse) -> dict[str, Any]:
    found = answer.get_json()
    parts = [_constant_members(part) for part in found.pop("sellers", [])]
    return _constant_members(found) | {"sellers": parts}


def _constant_members(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name not in VARYING}


def _no_changes(state: list[int]) -> list[int]:
    return [0] * len(state)
