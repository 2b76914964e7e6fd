"""A hundred concurrent buyers of the last unit, repeatedly."""

import os
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from config import Settings
from tests.apps import RELATIONAL, Person, embedded, running
from tests.contracts.relational_store import migrated_database
from tests.engines import Shared
from tests.shop import Clock, Shop

pytestmark = [pytest.mark.live, pytest.mark.long]

ROUNDS = int(os.environ.get("QUARTET_LAST_UNIT_ROUNDS", "1"))
BUYERS = 100


@pytest.fixture(params=RELATIONAL)
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    changes: dict[str, Any] = {"threads": 16}
    if request.param == "postgres":
        engines: Shared = request.getfixturevalue("engines")
        changes |= {"relational_url": migrated_database(engines.postgres()), "relational_timeout": 20.0}
    clock = Clock()
    with running(Settings(**embedded(tmp_path) | changes), clock) as system:
        yield Shop(system, clock)


@pytest.fixture
def buyers(shop: Shop) -> list[Person]:
    return [shop.system.person().rich(1000) for _ in range(BUYERS)]


def test_one_buyer_gets_the_last_unit(shop: Shop, buyers: list[Person]) -> None:
    for turn in range(ROUNDS):
        _sell(shop, buyers, turn, on_hand=1, lines=[1])
    _assert_in_order(shop, ROUNDS)


def test_two_lines_of_one_order_do_not_oversell(shop: Shop, buyers: list[Person]) -> None:
    """Each line by itself would be in stock."""
    for turn in range(max(1, ROUNDS // 5)):
        _sell(shop, buyers, turn, on_hand=3, lines=[1, 1])
    single = shop.offer(shop.seller, 1, 1)
    assert _orders(buyers, single, [1, 1], "two-of-one") == {(409, "out_of_stock"): BUYERS}
    assert shop.stock(single) == 1
    _assert_in_order(shop, max(1, ROUNDS // 5))


def _sell(shop: Shop, buyers: list[Person], turn: int, *, on_hand: int, lines: list[int]) -> None:
    product = shop.offer(shop.seller, on_hand, 1)
    found = _orders(buyers, product, lines, f"round-{turn}")
    assert found == {(201, ""): 1, (409, "out_of_stock"): BUYERS - 1}
    assert shop.stock(product) == on_hand - sum(lines)


def _orders(buyers: list[Person], product: str, lines: list[int], key: str) -> Counter[tuple[int, str]]:
    """The answers to concurrent orders of all buyers, who retry after a 503."""
    body = {"lines": [{"product_id": product, "quantity": number} for number in lines]}
    barrier = threading.Barrier(len(buyers))

    def buy(buyer: Person) -> tuple[int, str]:
        barrier.wait()
        for _ in range(20):
            answer = buyer.keyed("/orders", body, key)
            if answer.status_code != 503:
                break
        return answer.status_code, "" if answer.status_code == 201 else str(answer.get_json(force=True)["code"])

    with ThreadPoolExecutor(len(buyers)) as pool:
        return Counter(pool.map(buy, buyers))


def _assert_in_order(shop: Shop, sold: int) -> None:
    assert len(shop.seller.get("/orders", role="seller", limit=100)["items"]) == sold
    assert shop.audit() == []
