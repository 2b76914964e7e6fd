"""Bulk load of past transfers and orders: a fixed number of statements, whatever the number of rows."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import BigInteger, LargeBinary, Select, Table, bindparam, cast, func, select, update

from repositories.errors import Insufficient, Invalid
from repositories.records.money import PROVIDER, REFUND, Transfer
from repositories.records.orders import Order, Shipment, Stock
from repositories.relational.bulk import Load
from repositories.relational.money.balance_writes import LOCK, OPEN, lock_order, opened
from repositories.relational.money.digests import chain, digest_of, leg_of
from repositories.relational.money.ledger_writes import transfer_row, valid
from repositories.relational.money.order_chain import refunded, shipped
from repositories.relational.money.orders import line_rows, order_row, sub_order_rows
from repositories.relational.money.orders import valid as valid_order
from repositories.relational.money.stock import LEVELS
from repositories.relational.money.stock_receipts import ADD_RECEIPT, MOST_VERSIONS, receipt, version_after
from repositories.relational.money.sub_orders import THIS
from repositories.relational.schema.columns import IDS, TIME
from repositories.relational.schema.functions import among, chained
from repositories.relational.schema.money_tables import entries, ledger_accounts, reservations, transfers
from repositories.relational.schema.order_tables import (
    order_lines,
    orders,
    refunds,
    shipment_lines,
    shipments,
    sub_orders,
)
from repositories.relational.schema.tables import stock
from repositories.relational.upserts import insert
from repositories.relational.work import Work

# The version of a sub-order after its first shipment, when only the payment came before.
_AFTER_PAYMENT = 3

_account = ledger_accounts.c
_CHANGED = ("posted", "entries", "last_at", "head")
_KEPT = ("owner", "held", "may_overdraw", *_CHANGED)
_READ = select(*(_account[name] for name in _KEPT)).where(
    _account.currency == bindparam("currency"), among(_account.owner, bindparam("ids", type_=IDS))
)
_KNOWN_ORDERS, _KNOWN_TRANSFERS = (
    select(table.c.id).where(among(table.c.id, bindparam("ids", type_=IDS))) for table in (orders, transfers)
)
_CLOSE = (
    update(ledger_accounts)
    .where(_account.owner == bindparam("its_owner"), _account.currency == bindparam("its_currency"))
    .values(
        posted=bindparam("new_posted", type_=BigInteger()),
        entries=bindparam("new_entries", type_=BigInteger()),
        last_at=bindparam("new_last_at", type_=TIME),
        head=bindparam("new_head", type_=LargeBinary()),
    )
)
_RETURNED = (
    select(
        order_lines.c.order_id,
        order_lines.c.seller_id,
        cast(func.sum(order_lines.c.returned), BigInteger).label("units"),
        sub_orders.c.version,
    )
    .join(
        sub_orders,
        (sub_orders.c.order_id == order_lines.c.order_id) & (sub_orders.c.seller_id == order_lines.c.seller_id),
    )
    .where(among(order_lines.c.order_id, bindparam("ids", type_=IDS)))
    .group_by(order_lines.c.order_id, order_lines.c.seller_id, sub_orders.c.version)
)
_EXTEND = (
    update(sub_orders).where(*THIS).values(head=chained(sub_orders.c.head, bindparam("step", type_=LargeBinary())))
)
_ADD_STOCK = insert(stock).on_conflict_do_nothing()
_units = bindparam("units", type_=BigInteger())
_COUNT_SOLD = (
    update(stock)
    .where(stock.c.product_id == bindparam("its_id"))
    .values(
        sold=stock.c.sold + _units,
        received=stock.c.received + _units,
        version=version_after(bindparam("steps", type_=BigInteger())),
    )
)


class Books:
    """The locked ledger accounts of one currency, and the entries to add to them."""

    def __init__(self, work: Work, currency: str, transfers: Sequence[Transfer]) -> None:
        self._work = work
        self._currency = currency
        owners = sorted({owner for one in transfers for owner in (one.debit, one.credit)}, key=lock_order)
        since = min(one.created_at for one in transfers)
        work.change(OPEN, [opened(owner, currency, since) for owner in owners])
        values = {"ids": owners, "currency": currency}
        work.rows(LOCK, values)
        rows = [dict(zip(_KEPT, row, strict=True)) for row in work.rows(_READ, values)]
        self._accounts: dict[UUID, dict[str, Any]] = {row["owner"]: row for row in rows}
        self._changed: set[UUID] = set()

    def post(self, transfer: Transfer) -> list[dict[str, Any]]:
        digest, amount = digest_of(transfer), transfer.amount.amount
        left, came = (max(transfer.created_at, self._accounts[o]["last_at"]) for o in (transfer.debit, transfer.credit))
        # With the provider each side has a time of its own: past transfers may be loaded after one of today.
        if PROVIDER not in {transfer.debit, transfer.credit}:
            left = came = max(left, came)
        return [
            self._enter(transfer, transfer.debit, -amount, digest, left),
            self._enter(transfer, transfer.credit, amount, digest, came),
        ]

    def close(self) -> None:
        rows = []
        for owner in sorted(self._changed, key=lock_order):
            account = self._accounts[owner]
            row = {f"new_{name}": account[name] for name in _CHANGED}
            rows.append(row | {"its_owner": owner, "its_currency": self._currency})
        if rows:
            self._work.change(_CLOSE, rows)

    def _enter(self, transfer: Transfer, owner: UUID, step: int, digest: bytes, at: datetime) -> dict[str, Any]:
        account = self._accounts[owner]
        account["posted"] += step
        if account["posted"] < account["held"] and not account["may_overdraw"]:
            raise self._work.refused(Insufficient(f"{owner} has not {-step} {self._currency} available"))
        account["entries"] += 1
        account["last_at"] = at
        account["head"] = chain(bytes(account["head"]), leg_of(digest, owner, step))
        self._changed.add(owner)
        entry = {"owner": owner, "currency": self._currency, "sequence": account["entries"]}
        entry |= {"transfer_id": transfer.id, "amount": step, "balance": account["posted"]}
        return entry | {"at": account["last_at"], "hash": account["head"]}


class MoneyLoader:
    """`load` is the engine's bulk insert, such as COPY."""

    def __init__(self, work: Work, load: Load) -> None:
        self._work = work
        self._load = load

    def transfers(self, rows: Sequence[Transfer]) -> None:
        if not all(valid(one, "single") for one in rows):
            raise self._work.refused(Invalid("no valid single transfer"))
        for currency in sorted({one.amount.currency for one in rows}):
            self._in_currency(currency, [one for one in rows if one.amount.currency == currency])

    def orders(self, rows: Sequence[Order]) -> None:
        if not all(valid_order(one) and one.state != "placed" for one in rows):
            raise self._work.refused(Invalid("no valid order of the past"))
        unique = {one.id: one for one in rows}
        known = self._known(_KNOWN_ORDERS, unique)
        new = [one for one in unique.values() if one.id not in known]
        sold = [reservation for one in new for reservation in _reservations(one)]
        self._count(sold)
        self._fill(orders, [order_row(one) for one in new])
        self._fill(order_lines, [row for one in new for row in line_rows(one)])
        sent = [shipment for one in new for shipment in _shipments(one)]
        steps = {(one.order_id, one.seller_id): _shipped(one) for one in sent}
        parts = [row for one in new for row in sub_order_rows(one)]
        for row in parts:
            row["noted"] = 0
            if step := steps.get((row["order_id"], row["seller_id"])):
                row["head"] = chain(row["head"], step)
        self._fill(sub_orders, parts)
        self._fill(reservations, sold)
        self._fill(shipments, [_shipment_row(one) for one in sent])
        own = [(one.id, unit) for one in sent for unit in one.units]
        self._fill(shipment_lines, [{"shipment_id": one, "number": n, "quantity": units} for one, (n, units) in own])

    def _in_currency(self, currency: str, rows: Sequence[Transfer]) -> None:
        books = Books(self._work, currency, rows)
        unique = {one.id: one for one in rows}
        known = self._known(_KNOWN_TRANSFERS, unique)
        new = [one for one in unique.values() if one.id not in known]
        legs = [entry for one in new for entry in books.post(one)]
        self._fill(transfers, [transfer_row(one) for one in new])
        self._fill(entries, legs)
        self._refund([one for one in new if one.kind == REFUND])
        books.close()

    def _refund(self, made: Sequence[Transfer]) -> None:
        """Record refunds, each of a whole sub-order, as its last step."""
        ids = list({one.order_id for one in made})
        if not ids:
            return
        known = {row[:2]: row[2:] for row in self._work.rows(_RETURNED, {"ids": ids})}
        rows, steps = [], []
        for one in made:
            units, version = known.get((one.order_id, one.debit), (0, 0))
            row = {"id": one.id, "order_id": one.order_id, "seller_id": one.debit, "created_at": one.created_at}
            rows.append(row | {"reason": "", "restock": True, "units": units, "version": version})
            step = refunded(one.id, "", restock=True, units=units, at=one.created_at)
            steps.append({"its_order": one.order_id, "its_seller": one.debit, "step": step})
        self._fill(refunds, rows)
        self._work.change(_EXTEND, steps)

    def _count(self, sold: Sequence[dict[str, Any]]) -> None:
        units, steps = Counter[UUID](), Counter[UUID]()
        for row in sold:
            units[row["product_id"]] += row["quantity"] - row["returned"]
            # The version counts the units as sold and returned, and then the receipt.
            steps[row["product_id"]] += row["quantity"] + row["returned"]
        if units:
            ids = sorted(units)
            self._work.change(_ADD_STOCK, [{"product_id": one, "on_hand": 0, "version": 0} for one in ids])
            self._work.change(
                _COUNT_SOLD,
                [{"its_id": one, "units": units[one], "steps": steps[one] % MOST_VERSIONS + 1} for one in ids],
            )
            self._receive(ids)

    def _receive(self, product_ids: Collection[UUID]) -> None:
        rows = self._work.rows(LEVELS, {"ids": list(product_ids)})
        if rows:
            self._work.change(ADD_RECEIPT, [receipt(Stock(*row)) for row in rows])

    def _known(self, which: Select[tuple[UUID]], ids: Collection[UUID]) -> set[UUID]:
        return {one for (one,) in self._work.rows(which, {"ids": list(ids)})} if ids else set()

    def _fill(self, table: Table, rows: list[dict[str, Any]]) -> None:
        if rows:
            with self._work.connection() as connection:
                self._load(connection, table, [{column.name: row[column.name] for column in table.c} for row in rows])


def _reservations(order: Order) -> list[dict[str, Any]]:
    """The reservations of a past order, with sold and returned units."""
    units, back = Counter[UUID](), Counter[UUID]()
    for line in order.lines if order.state != "cancelled" else ():
        units[line.product_id] += line.quantity
        back[line.product_id] += line.returned
    sold_at = next((part.paid_at for part in order.sub_orders), None)
    times = {"expires_at": order.created_at, "sold_at": sold_at}
    return [
        {"order_id": order.id, "product_id": one, "quantity": units[one], "returned": back[one]} | times
        for one in sorted(units)
    ]


def _shipments(order: Order) -> Iterator[Shipment]:
    """One shipment for each seller whose units were sent."""
    for part in order.sub_orders:
        units = tuple(
            (line.number, line.fulfilled) for line in order.lines if line.fulfilled and line.seller_id == part.seller_id
        )
        if units:
            one = uuid5(order.id, f"shipment {part.seller_id}")
            yield Shipment(one, order.id, part.seller_id, "", part.moved_at or order.created_at, units)


def _shipped(one: Shipment) -> bytes:
    return shipped(one.id, one.reference, one.created_at, one.units)


def _shipment_row(one: Shipment) -> dict[str, Any]:
    row = {name: getattr(one, name) for name in ("id", "order_id", "seller_id", "reference", "created_at")}
    return row | {"version": _AFTER_PAYMENT}
