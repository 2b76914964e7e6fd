"""Stock is locked last: a command that waits for a ledger account does not block its products for others."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import psycopg
import pytest

from config import Settings
from tests.apps import embedded, running
from tests.contracts.relational_store import migrated_database
from tests.engines import Shared
from tests.shop import Clock, Shop

pytestmark = [pytest.mark.live, pytest.mark.engines]

_WAITING = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


@pytest.fixture(scope="module")
def shop(engines: Shared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    url = migrated_database(engines.postgres())
    changes = {"relational_url": url, "relational_timeout": 20.0}
    with running(Settings(**embedded(tmp_path_factory.mktemp("shop")) | changes), clock := Clock()) as system:
        yield Shop(system, clock)


def _settle(shop: Shop, order: str) -> None:
    shop.system.container.money.settlement.settle(UUID(order))


WAITS: dict[str, Callable[[Shop, str], object]] = {
    "places": lambda shop, _: shop.order((shop.lamp, 1)),
    "settles": _settle,
    "cancels": lambda shop, order: shop.act(order, "cancel"),
    "refuses": lambda shop, order: shop.act(order, "refuse", body={}),
    "refunds": lambda shop, order: shop.act(order, "refund"),
}


@pytest.mark.parametrize("name", WAITS)
def test_a_command_that_waits_for_an_account_does_not_lock_the_product(shop: Shop, name: str) -> None:
    other, order = shop.system.person().rich(100), str(shop.order((shop.lamp, 1))["id"])
    if name == "refunds":
        _settle(shop, order)
    relational, waits = shop.system.container.stores.relational, threading.Event()
    url = shop.system.container.settings.relational_url
    with psycopg.connect(url, autocommit=True) as watch, ThreadPoolExecutor(1) as pool:
        with relational.transaction() as tx:
            tx.ledger.lock({UUID(shop.buyer.account["id"])}, "EUR")
            waiting = pool.submit(WAITS[name], shop, order)
            while not waiting.done() and watch.execute(_WAITING).fetchall() != [(1,)]:
                waits.wait(0.01)
            assert not waiting.done()
            shop.order((shop.lamp, 1), by=other)
        waiting.result()
    assert shop.audit() == []
