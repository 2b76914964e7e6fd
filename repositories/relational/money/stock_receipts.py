"""Receipts of stock: the total received of a product, recorded each time its stock is put.

The audit compares stock with them, so that units cannot appear on hand unnoticed. Each is chained to the previous one.
"""

import hashlib
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, LargeBinary, bindparam, func, insert, literal_column, select

from repositories.records.orders import Stock
from repositories.relational.money.digests import START
from repositories.relational.schema.columns import ID
from repositories.relational.schema.functions import chained
from repositories.relational.schema.money_tables import stock_receipts
from repositories.relational.schema.tables import stock

# Versions of stock go from 1 to this and start over: one order may have nearly as many units as 64 bits can count.
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
    """The values of `ADD_RECEIPT` for the stock right after it was put."""
    received = now.on_hand + now.sold
    values = {"its_id": now.product_id, "all_received": received, "start": START}
    return values | {"leg": leg_of_receipt(now.product_id, received)}


def leg_of_receipt(product_id: UUID, received: int) -> bytes:
    """The digest of the receipt's own content, without the receipts before it."""
    return hashlib.sha256(f"{product_id.hex} {received}".encode()).digest()


def version_after(steps: ColumnElement[int]) -> ColumnElement[int]:
    """The version after `steps`. A receipt is one step, and so is each unit sold or returned: the audit counts them."""
    return (stock.c.version - 1 + steps % _most) % _most + 1
