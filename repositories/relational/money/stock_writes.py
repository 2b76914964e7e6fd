"""Writes to stock. Lock order: the reservations of an order, then its products by id."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Executable,
    LargeBinary,
    bindparam,
    delete,
    insert,
    literal_column,
    or_,
    select,
    union_all,
    update,
)

from repositories.batched import batched
from repositories.errors import Invalid, Short, Stale
from repositories.records.orders import Stock
from repositories.relational.money.stock import STOCK_COLUMNS
from repositories.relational.money.stock_receipts import ADD_RECEIPT, receipt, version_after
from repositories.relational.orders_port import NO_OFFERS, StockWrites
from repositories.relational.schema.columns import ID, IDS
from repositories.relational.schema.functions import among
from repositories.relational.schema.money_tables import reservations
from repositories.relational.schema.offer_tables import offers
from repositories.relational.schema.tables import stock
from repositories.relational.upserts import insert as upsert
from repositories.relational.work import Work

_units = bindparam("units", type_=BigInteger())
_this = update(stock).where(stock.c.product_id == bindparam("its_id"))
_next = version_after(literal_column("1", BigInteger))

_ADD = (
    upsert(stock)
    .values(product_id=bindparam("its_id"), on_hand=_units, reserved=0, sold=0, received=_units, version=1)
    .on_conflict_do_nothing()
    .returning(*STOCK_COLUMNS)
)
_PUT = (
    _this.where(stock.c.reserved <= _units)
    .values(on_hand=_units, received=_units + stock.c.sold, version=_next)
    .returning(*STOCK_COLUMNS)
)
_PUT_VERSION = _PUT.where(stock.c.version == bindparam("if_version"))
_VERSION = select(stock.c.version).where(stock.c.product_id == bindparam("its_id"))
_CLEAR = (
    _this.where(stock.c.on_hand > stock.c.reserved)
    .values(on_hand=stock.c.reserved, received=stock.c.reserved + stock.c.sold, version=_next)
    .returning(*STOCK_COLUMNS)
)
_SELL = _this.values(
    on_hand=stock.c.on_hand - _units,
    reserved=stock.c.reserved - _units,
    sold=stock.c.sold + _units,
    version=version_after(_units),
)
_FREE = _this.values(reserved=stock.c.reserved - _units)
_TAKE_BACK = _this.values(on_hand=stock.c.on_hand + _units, sold=stock.c.sold - _units, version=version_after(_units))

_of_order = reservations.c.order_id == bindparam("its_order")
_open = reservations.c.sold_at.is_(None)
_added = (reservations.c.product_id, reservations.c.quantity)
_ADD_RESERVATIONS = insert(reservations)
_COMMIT = update(reservations).where(_of_order, _open).values(sold_at=bindparam("now")).returning(*_added)
_RELEASE = delete(reservations).where(_of_order, _open).returning(*_added)
_RELEASE_SOME = (
    delete(reservations)
    .where(_of_order, _open, among(reservations.c.product_id, bindparam("ids", type_=IDS)))
    .returning(*_added)
)
_SOLD = (
    select(reservations.c.product_id, (reservations.c.quantity - reservations.c.returned).label("left"))
    .where(_of_order, reservations.c.sold_at.is_not(None))
    .order_by(reservations.c.product_id)
    .with_for_update()
)
_RETURN = (
    update(reservations)
    .where(_of_order, reservations.c.product_id == bindparam("its_id"))
    .values(returned=reservations.c.returned + _units)
)


_AVAILABLE = (
    select(stock.c.product_id, (stock.c.on_hand - stock.c.reserved).label("available"), offers.c.digest)
    .outerjoin(offers, offers.c.product_id == stock.c.product_id)
    .where(among(stock.c.product_id, bindparam("ids", type_=IDS)))
)
# Accepts every offer: no digest is empty.
ANY_OFFER = b""
# In one statement. Orders with more products need several.
_MOST_PRODUCTS = 8
# Run before the UPDATE, since one from a UNION ALL misses rows that changed while it waited (see findings/).
_LOCK = (
    select(stock.c.product_id)
    .where(among(stock.c.product_id, bindparam("ids", type_=IDS)))
    .order_by(stock.c.product_id)
    .with_for_update()
)


@cache
def _reserve(products: int) -> Executable:
    """The UPDATE that reserves units of this many products. Several products must be locked before it."""
    each = (
        select(
            bindparam(f"its_id_{turn}", type_=ID).label("its_id"),
            bindparam(f"units_{turn}", type_=BigInteger()).label("units"),
            bindparam(f"offer_{turn}", type_=LargeBinary()).label("offer"),
        )
        for turn in range(products)
    )
    wanted = union_all(*each).subquery("wanted")
    # A scalar subquery: an EXISTS under OR may be planned as a scan of all rows.
    known = select(offers.c.digest).where(offers.c.product_id == wanted.c.its_id).scalar_subquery()
    as_known = or_(wanted.c.offer == bindparam("any_offer", ANY_OFFER, type_=LargeBinary()), wanted.c.offer == known)
    enough = stock.c.on_hand - stock.c.reserved >= wanted.c.units
    return (
        update(stock)
        .where(stock.c.product_id == wanted.c.its_id, enough, as_known)
        .values(reserved=stock.c.reserved + wanted.c.units)
        .returning(stock.c.product_id)
    )


class SqlStockWrites(StockWrites):
    def __init__(self, work: Work) -> None:
        self._work = work
        self.touched = set()

    def put(self, product_id: UUID, on_hand: int, *, if_version: int | None = None) -> Stock:
        if on_hand < 0:
            raise self._work.refused(Invalid("units below 0"))
        self.touched.add(product_id)
        values = {"its_id": product_id, "units": on_hand}
        rows = self._work.rows(_ADD, values) if not if_version else ()
        if not rows and if_version is None:
            rows = self._work.rows(_PUT, values)
        elif not rows and if_version:
            rows = self._work.rows(_PUT_VERSION, values | {"if_version": if_version})
        if rows:
            return self._received(Stock(*rows[0]))
        current = self._work.rows(_VERSION, {"its_id": product_id})
        stale = if_version is not None and (not current or current[0].version != if_version)
        raise self._work.refused(Stale() if stale else Short(product_id))

    def clear(self, product_id: UUID) -> None:
        self.touched.add(product_id)
        for row in self._work.rows(_CLEAR, {"its_id": product_id}):
            self._received(Stock(*row))

    def reserve(
        self,
        order_id: UUID,
        units: Mapping[UUID, int],
        *,
        expires_at: datetime,
        offers: Mapping[UUID, bytes] = NO_OFFERS,
    ) -> None:
        ordered = sorted(units.items())
        if any(number < 1 for _, number in ordered):
            raise self._work.refused(Invalid("units below 1"))
        self.touched.update(units)
        if len(ordered) > 1:
            self._work.rows(_LOCK, {"ids": list(units)})
        for some in batched(ordered, _MOST_PRODUCTS):
            self._reserve(some, offers)
        own = {"order_id": order_id, "returned": 0, "expires_at": expires_at}
        rows = [own | {"product_id": product_id, "quantity": number} for product_id, number in ordered]
        if rows:
            self._work.queue(_ADD_RESERVATIONS, rows)

    def commit(self, order_id: UUID, *, at: datetime) -> dict[UUID, int]:
        return self._apply(_SELL, dict(self._pairs(_COMMIT, {"its_order": order_id, "now": at})))

    def release(self, order_id: UUID, products: Collection[UUID] | None = None) -> dict[UUID, int]:
        if products is None:
            return self._apply(_FREE, dict(self._pairs(_RELEASE, {"its_order": order_id})))
        some = {"its_order": order_id, "ids": list(products)}
        return self._apply(_FREE, dict(self._pairs(_RELEASE_SOME, some)))

    def return_sold(self, order_id: UUID, units: Mapping[UUID, int] | None = None) -> dict[UUID, int]:
        left = dict(self._pairs(_SOLD, {"its_order": order_id}))
        wanted = {one: number for one, number in left.items() if number} if units is None else dict(units)
        if any(not 0 < number <= left.get(one, 0) for one, number in wanted.items()):
            raise self._work.refused(Invalid("more than was sold and did not come back"))
        rows = [{"its_order": order_id, "its_id": one, "units": wanted[one]} for one in sorted(wanted)]
        if rows:
            self._work.change(_RETURN, rows)
        return self._apply(_TAKE_BACK, wanted)

    def _reserve(self, wanted: Sequence[tuple[UUID, int]], offers: Mapping[UUID, bytes]) -> None:
        values: dict[str, Any] = {}
        for turn, (product_id, number) in enumerate(wanted):
            values[f"its_id_{turn}"], values[f"units_{turn}"] = product_id, number
            values[f"offer_{turn}"] = offers.get(product_id, ANY_OFFER)
        reserved = {row.product_id for row in self._work.rows(_reserve(len(wanted)), values)}
        missing = {product_id: number for product_id, number in wanted if product_id not in reserved}
        if missing:
            stale = self._offer_changed({one: number for one, number in missing.items() if one in offers}, offers)
            raise self._work.refused(Stale() if stale else Short(next(iter(missing))))

    def _offer_changed(self, units: Mapping[UUID, int], offers: Mapping[UUID, bytes]) -> bool:
        """Whether one of the products may have been refused for another offer, not for too few units."""
        if not units:
            return False
        short = {
            row.product_id
            for row in self._work.rows(_AVAILABLE, {"ids": list(units)})
            if row.available < units[row.product_id] and bytes(row.digest or b"") == offers[row.product_id]
        }
        return short != units.keys()

    def _received(self, now: Stock) -> Stock:
        self._work.change(ADD_RECEIPT, receipt(now))
        return now

    def _pairs(self, statement: Executable, values: dict[str, object]) -> list[tuple[UUID, int]]:
        return [(one, number) for one, number in self._work.rows(statement, values)]

    def _apply(self, statement: Executable, units: dict[UUID, int]) -> dict[UUID, int]:
        self.touched.update(units)
        rows = [{"its_id": one, "units": units[one]} for one in sorted(units)]
        if rows:
            self._work.change(statement, rows)
        return units
