"""Shipments with their lines, and the moves of sub-orders that they cause."""

from collections.abc import Iterable
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Select, bindparam, case, insert, select, tuple_, update

from repositories.errors import IllegalMove, Invalid, NotFound
from repositories.records.graph import TimeCursor
from repositories.records.orders import SUB_ORDER_MOVES, OrderStep, Shipment
from repositories.relational.money.order_chain import shipped
from repositories.relational.money.order_history import read_history
from repositories.relational.money.sub_orders import MOVED, NOTHING_TO_SEND, THIS, movable, sum_up
from repositories.relational.schema.columns import ID, LIMIT, TIME
from repositories.relational.schema.order_tables import order_lines, shipment_lines, shipments, sub_orders
from repositories.relational.shipments_port import ShipmentReads, ShipmentWrites
from repositories.relational.statement_runner import AnyRow, RunnerBacked
from repositories.relational.work import WorkBacked

_SHIPMENT = tuple(name for name in Shipment.__struct_fields__ if name != "units")
_OF_SHIPMENT = len(_SHIPMENT)


def _whole(condition: Any, *, page: bool) -> Select[Any]:
    """Shipments with their lines: one row per line, newest first."""
    newest = (shipments.c.created_at.desc(), shipments.c.id.desc())
    chosen = select(*(shipments.c[name] for name in _SHIPMENT)).where(condition)
    found = (chosen.order_by(*newest).limit(LIMIT) if page else chosen).subquery("found")
    whole = select(*found.c, shipment_lines.c.number, shipment_lines.c.quantity)
    whole = whole.join(shipment_lines, shipment_lines.c.shipment_id == found.c.id)
    return whole.order_by(found.c.created_at.desc(), found.c.id.desc(), shipment_lines.c.number)


_GET = _whole(shipments.c.id == bindparam("id", type_=ID), page=False)
_of_order = shipments.c.order_id == bindparam("order_id", type_=ID)
_of_seller = _of_order & (shipments.c.seller_id == bindparam("seller_id", type_=ID))
_mark = tuple_(bindparam("before_at", type_=TIME), bindparam("before_id", type_=ID))
_before = tuple_(shipments.c.created_at, shipments.c.id) < _mark
_PAGES = {
    (one_seller, later): _whole(condition & _before if later else condition, page=True)
    for one_seller, condition in ((False, _of_order), (True, _of_seller))
    for later in (False, True)
}
_its_lines = (
    order_lines.c.order_id == bindparam("its_order", type_=ID),
    order_lines.c.seller_id == bindparam("its_seller", type_=ID),
)
_left = order_lines.c.quantity - order_lines.c.fulfilled - order_lines.c.returned
_UNSENT = (
    select(sub_orders.c.state, sub_orders.c.version, order_lines.c.number, _left.label("unsent"))
    .join(
        order_lines,
        (order_lines.c.order_id == sub_orders.c.order_id) & (order_lines.c.seller_id == sub_orders.c.seller_id),
    )
    .where(*THIS)
)
_SEND = (
    update(order_lines)
    .where(*_its_lines, order_lines.c.number == bindparam("its_number"))
    .values(fulfilled=order_lines.c.fulfilled + bindparam("units", type_=BigInteger()))
)
_MOVE = (
    update(sub_orders)
    .where(*THIS, movable("partly_fulfilled"))
    .values(MOVED | {"state": case((NOTHING_TO_SEND, "fulfilled"), else_="partly_fulfilled")})
)
_ADD, _ADD_LINES = insert(shipments), insert(shipment_lines)


class SqlShipmentReads(RunnerBacked, ShipmentReads):
    def get(self, shipment_id: UUID) -> Shipment | None:
        return next(iter(_to_shipments(self._runner.rows(_GET, {"id": shipment_id}))), None)

    def of_order(
        self, order_id: UUID, *, seller_id: UUID | None = None, before: TimeCursor | None, limit: int
    ) -> list[Shipment]:
        values: dict[str, Any] = {"order_id": order_id, "limit": limit}
        if seller_id is not None:
            values["seller_id"] = seller_id
        if before is not None:
            values |= {"before_at": before.at, "before_id": before.id}
        return _to_shipments(self._runner.rows(_PAGES[seller_id is not None, before is not None], values))

    def history(
        self, order_id: UUID, *, seller_id: UUID | None = None, after: TimeCursor | None, limit: int
    ) -> list[OrderStep]:
        return read_history(self._runner, order_id, seller_id, after, limit)


class SqlShipmentWrites(WorkBacked, ShipmentWrites):
    def add(self, shipment: Shipment) -> None:
        this = {"its_order": shipment.order_id, "its_seller": shipment.seller_id}
        lines = self._work.rows(_UNSENT, this)
        if not lines:
            raise self._work.refused(NotFound(f"nothing of {shipment.seller_id} in order {shipment.order_id}"))
        if lines[0].state not in SUB_ORDER_MOVES["partly_fulfilled"]:
            raise self._work.refused(IllegalMove(lines[0].state))
        self._check(shipment, {line.number: line.unsent for line in lines})
        row = {name: getattr(shipment, name) for name in _SHIPMENT}
        self._work.change(_ADD, row | {"version": lines[0].version + 1})
        own = {"shipment_id": shipment.id}
        self._work.change(_ADD_LINES, [own | {"number": one, "quantity": units} for one, units in shipment.units])
        self._work.change(_SEND, [this | {"its_number": one, "units": units} for one, units in shipment.units])
        step = shipped(shipment.id, shipment.reference, shipment.created_at, sorted(shipment.units))
        self._work.change(_MOVE, this | {"now": shipment.created_at, "step": step})
        sum_up(self._work, shipment.order_id, shipment.created_at)

    def _check(self, shipment: Shipment, left: dict[int, int]) -> None:
        units = dict(shipment.units)
        if not units or len(units) < len(shipment.units) or any(not 0 < units[n] <= left.get(n, 0) for n in units):
            raise self._work.refused(Invalid("not what is left to send"))


def _to_shipments(rows: Iterable[AnyRow]) -> list[Shipment]:
    """From the rows of `_whole`, in which the lines of a shipment are adjacent."""
    found = []
    for _, group in groupby(rows, key=lambda row: row[0]):
        lines = list(group)
        one, order_id, seller_id, reference, created_at = lines[0][:_OF_SHIPMENT]
        units = tuple((row.number, row.quantity) for row in lines)
        found.append(Shipment(one, order_id, seller_id, reference, created_at, units))
    return found
