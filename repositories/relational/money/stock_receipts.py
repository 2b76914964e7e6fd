"""Receipts of stock: what had been received of a product, each time somebody put its stock.

The audit holds stock against them, so that units cannot appear on hand. Each is chained to the one before.
"""

import hashlib
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, LargeBinary, bindparam, func, insert, literal_column, select

from repositories.money_records import Stock
from repositories.relational.money.digests import START
from repositories.relational.schema.columns import ID
from repositories.relational.schema.functions import chained
from repositories.relational.schema.money_tables import stock_receipts
from repositories.relational.schema.tables import stock

# Versions of stock go from 1 to that and begin again, because one order may have nearly as many units as 64 bits count.
MOST_VERSIONS = 2**40
_most = literal_column(str(MOST_VERSIONS), BigInteger)

_its = bindparam("its_id", type_=ID)
_first = bindparam("start", type_=LargeBinary())


def _last(column: ColumnElement[Any]) -> ColumnElement[Any]:
    of_product = select(column).where(stock_receipts.c.product_id == _its)
    return of_product.order_by(stock_receipts.c.number.desc()).limit(1).scalar_subquery()


ADD_RECEIPT = insert(stock_receipts).from_select(
    ["product_id", "number", "received", "digest"],
    select(
        _its,
        func.coalesce(_last(stock_receipts.c.number), 0) + 1,
        bindparam("all_received", type_=BigInteger()),
        chained(func.coalesce(_last(stock_receipts.c.digest), _first), bindparam("leg", type_=LargeBinary())),
    ),
)


def receipt(now: Stock) -> dict[str, Any]:
    """The values of `ADD_RECEIPT` for the stock as it is right after it was put."""
    received = now.on_hand + now.sold
    values = {"its_id": now.product_id, "all_received": received, "start": START}
    return values | {"leg": leg_of_receipt(now.product_id, received)}


def leg_of_receipt(product_id: UUID, received: int) -> bytes:
    """What the receipt says, without those before it."""
    return hashlib.sha256(f"{product_id.hex} {received}".encode()).digest()


def version_after(steps: ColumnElement[int]) -> ColumnElement[int]:
    """A receipt is one step; each unit that is sold or comes back is one too. So the audit can count them."""
    return (stock.c.version - 1 + steps % _most) % _most + 1
