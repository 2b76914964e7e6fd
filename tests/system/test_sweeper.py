"""The sweeper's work, which is due after some time, and the audit."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner

from app.cli import main
from app.services.money.orders import GRACE, PATIENCE
from app.worker.relay import Relay, RelayLimits
from app.worker.sweeper import EVERY, Sweeper
from config import Settings
from repositories.errors import Contention, Unavailable
from repositories.records.money import Money, Transfer
from tests.apps import ROLES, embedded, running
from tests.shop import Clock, Shop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    clock = Clock()
    with running(Settings(**embedded(tmp_path)), clock) as system:
        yield Shop(system, clock)


def refuse(*_: object, **__: object) -> Any:
    raise Contention("lost")


def away(*_: object, **__: object) -> Any:
    raise Unavailable("relational")


def test_it_sweeps_at_its_interval(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    sweeps: list[int] = []
    monkeypatch.setattr(Sweeper, "sweep", lambda _: sweeps.append(1))
    sweeper = shop.system.sweeper
    for _ in range(3):
        sweeper.tick()
    assert len(sweeps) == 1
    shop.clock.now += EVERY
    sweeper.tick()
    assert len(sweeps) == 2


def test_it_sweeps_the_feeds_and_continues_without_them(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    feeds = shop.system.container.stores.feeds
    monkeypatch.setattr(feeds, "sweep", lambda: 41)
    assert shop.system.sweeper.sweep() == 41
    monkeypatch.setattr(feeds, "sweep", away)
    assert shop.system.sweeper.sweep() == 0


def test_the_relay_sweeps_between_its_rounds(shop: Shop) -> None:
    order, stop = shop.placed(), threading.Event()
    shop.clock.now += GRACE

    def between() -> None:
        shop.system.sweeper.tick()
        stop.set()

    limits = RelayLimits(timedelta(seconds=1), timedelta(seconds=30), attempts=1)
    Relay([], lambda _: None, shop.clock, limits, between).run(stop)
    assert shop.state(order) == "paid"


def test_a_hold_without_an_order_expires(shop: Shop) -> None:
    now, store = shop.clock(), shop.system.container.stores.relational
    buyer = UUID(shop.buyer.account["id"])
    hold = Transfer(
        uuid4(), "deposit", buyer, uuid4(), Money(7, "EUR"), now, phase="hold", expires_at=now + timedelta(minutes=1)
    )
    with store.transaction() as tx:
        tx.ledger.hold(hold)
    shop.after(timedelta(seconds=59))
    assert shop.owned() == (1000, 7)
    shop.after(timedelta(seconds=1))
    assert shop.owned() == (1000, 0)


def test_a_failing_job_does_not_stop_the_others(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    order = shop.placed()
    monkeypatch.setattr(shop.system.container.stores.relational.stock, "due_reservations", away)
    monkeypatch.setattr(shop.system.container.stores.relational.ledger, "due_holds", away)
    shop.after(GRACE)
    assert shop.state(order) == "paid"


def test_a_failing_order_does_not_stop_the_others(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = shop.placed(), shop.placed()
    settlement = shop.system.container.money.settlement
    settle = settlement.settle
    monkeypatch.setattr(settlement, "settle", lambda order: away() if str(order) == bad else settle(order))
    shop.after(GRACE)
    assert (shop.state(bad), shop.state(good)) == ("placed", "paid")
    monkeypatch.undo()
    shop.after(PATIENCE)
    assert shop.state(bad) == "cancelled"


def test_exhausted_retries_are_a_503_with_retry_after(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    container = shop.system.container
    post = shop.seller.publish()
    for bound in (container.kit.retry,):
        monkeypatch.setattr(bound, "_sleep", lambda _: None)
    monkeypatch.setattr(container.stores.relational, "transaction", refuse)
    euro = {"amount": {"amount": 1, "currency": "EUR"}}
    basket = {"lines": [{"product_id": shop.lamp, "quantity": 1}]}
    for path, body in (
        ("/wallet/transfers", {"to": "seller", **euro}),
        ("/wallet/deposits", euro),
        ("/orders", basket),
    ):
        response = shop.buyer.keyed(path, body, "one")
        assert (response.status_code, response.headers["Retry-After"]) == (503, "1"), path
        assert response.get_json(force=True)["code"] == "busy"
    for method, path in (("PUT", f"/posts/{post}/like"), ("PUT", "/accounts/seller/follow")):
        assert shop.buyer.send(method, path).status_code == 503


def doctor(directory: Path) -> Any:
    names = {f"QUARTET_{role.upper()}_URL": str(embedded(directory)[f"{role}_url"]) for role in ROLES}
    return CliRunner().invoke(main, ["doctor", "ledger"], env=names)


def test_the_doctor_finds_changes_made_in_the_database(shop: Shop, tmp_path: Path) -> None:
    shop.refunded()
    shop.paid()
    good = doctor(tmp_path)
    assert good.exit_code == 0
    assert good.output.endswith("ledger and stock are in order\n")
    with closing(sqlite3.connect(tmp_path / "quartet.db")) as database:
        database.execute("UPDATE ledger_accounts SET posted = posted + 1 WHERE may_overdraw = 0")
        database.commit()
    bad = doctor(tmp_path)
    assert bad.exit_code == 1
    assert "findings" in bad.output
