"""Forged steps of orders that moved no money are found by comparison with an anchor, even if all hashes fit."""

import itertools
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, update

from app.services.money.anchors import Altered
from repositories.relational.schema.order_tables import order_lines, refunds, shipments, sub_orders
from tests.contracts.money import without_triggers
from tests.contracts.transactions import engine_of
from tests.shop import Shop
from tests.system.money.full_shop import fill
from tests.system.money.recomputing import recompute_everything
from tests.system.money.test_anchors import anchors, change, findings

pytestmark = pytest.mark.parametrize("shop", ["embedded"], indirect=True)
REWRITTEN: dict[str, Any] = {
    "what was free": lambda: update(order_lines).where(order_lines.c.unit_price == 0).values(title="Another gift"),
    "a shipment's reference": lambda: update(shipments).values(reference="another"),
    "why it was refunded": lambda: update(refunds).values(reason="another"),
    "why it was refused": lambda: update(sub_orders).where(sub_orders.c.state == "refused").values(reason="another"),
}


@pytest.mark.parametrize("name", REWRITTEN)
def test_forged_steps_without_money_are_found_with_all_hashes_recomputed(shop: Shop, name: str) -> None:
    fill(shop)
    without_triggers(shop.system.container.stores.relational)
    anchor = anchors(shop).make()
    assert anchor.parts_head().count == shop_parts(shop)
    # An order that changes after the anchor gets a further head in the chain.
    shop.act(shop.paid(), "fulfil")
    assert [*findings(shop, anchor), *findings(shop, anchor, whole=False)] == []
    later = anchors(shop).make()
    assert later.parts_head().count > anchor.parts_head().count
    for one in (anchor, later):
        assert [*findings(shop, one), *findings(shop, one, whole=False)] == []

    def rewrite(connection: Connection) -> None:
        connection.execute(REWRITTEN[name]())
        if "why" in name:  # the refusal of a paid sub-order is a refund, which also has the reason
            connection.execute(update(refunds).values(reason="another"))
            ended = sub_orders.c.state == "refused"
            connection.execute(update(sub_orders).where(ended).values(reason="another"))
        recompute_everything(connection)

    change(shop, rewrite)
    assert findings(shop, None) == [], "the audit without an anchor finds nothing"
    for one, whole in itertools.product((anchor, later), (True, False)):
        (finding,) = (f for f in findings(shop, one, whole=whole) if f.about.startswith("chain"))
        assert f"first {one.parts_head().count} heads" in finding.problem
    with pytest.raises(Altered):
        anchors(shop).make()


def shop_parts(shop: Shop) -> int:
    with engine_of(shop.system.container.stores.relational).connect() as connection:
        return int(connection.execute(select(func.count()).select_from(sub_orders)).scalar_one())
