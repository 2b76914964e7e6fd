"""The tables of orders: lines, sub-orders with their shipments and refunds, and the chain over all sub-orders."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Table,
)

from repositories.relational.schema.columns import ID, TEXT, TIME, partial_index
from repositories.relational.schema.tables import metadata

ORDER_STATES = "state IN ('placed', 'paid', 'fulfilled', 'cancelled', 'refunded')"
SUB_ORDER_STATES = "state IN ('placed', 'paid', 'partly_fulfilled', 'fulfilled', 'refused', 'cancelled', 'refunded')"

orders = Table(
    "orders",
    metadata,
    Column("id", ID, primary_key=True),
    Column("buyer_id", ID, nullable=False),
    Column("currency", TEXT, CheckConstraint("length(currency) = 3"), nullable=False),
    Column("total", BigInteger, CheckConstraint("total >= 0"), nullable=False),
    Column("created_at", TIME, nullable=False),
    Column("state", TEXT, CheckConstraint(ORDER_STATES), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("refunded", BigInteger, CheckConstraint("refunded BETWEEN 0 AND total"), nullable=False),
    Column("moved_at", TIME),
    Column("due_at", TIME),
    Index("orders_buyer", "buyer_id", "created_at", "id"),
    Index("orders_buyer_state", "buyer_id", "state", "created_at", "id"),
    Index("orders_buyer_currency", "buyer_id", "currency", "created_at", "id"),
)
_due = orders.c.due_at.is_not(None)
partial_index("orders_due", orders.c.due_at, orders.c.id, where=_due)

order_lines = Table(
    "order_lines",
    metadata,
    Column("order_id", ID, ForeignKey("orders.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("product_id", ID, nullable=False),
    Column("product_version", BigInteger, nullable=False),
    Column("title", TEXT, nullable=False),
    Column("seller_id", ID, nullable=False),
    Column("unit_price", BigInteger, CheckConstraint("unit_price >= 0"), nullable=False),
    Column("quantity", BigInteger, CheckConstraint("quantity > 0"), nullable=False),
    # Units sent, and units that came back to stock.
    Column("fulfilled", BigInteger, CheckConstraint("fulfilled BETWEEN 0 AND quantity"), nullable=False),
    Column("returned", BigInteger, CheckConstraint("returned BETWEEN 0 AND quantity"), nullable=False),
    # The order's time, for the index behind the lists of a product's orders.
    Column("created_at", TIME, nullable=False),
    Index("order_lines_product", "product_id", "created_at", "order_id"),
)

# One seller's part of an order, which has a state of its own. `ended_by` is the id of the command that cancelled or
# refused it, `reason` why it was refused. Buyer, currency and time are the order's, for the indexes. `head` is the last
# hash of the chain of its steps; shipments and refunds store the version that they made. `noted` is the last version
# whose head is in `order_heads`.
sub_orders = Table(
    "sub_orders",
    metadata,
    Column("order_id", ID, ForeignKey("orders.id"), primary_key=True),
    Column("seller_id", ID, primary_key=True),
    Column("buyer_id", ID, nullable=False),
    Column("currency", TEXT, CheckConstraint("length(currency) = 3"), nullable=False),
    Column("created_at", TIME, nullable=False),
    Column("total", BigInteger, CheckConstraint("total >= 0"), nullable=False),
    Column("state", TEXT, CheckConstraint(SUB_ORDER_STATES), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("refunded", BigInteger, CheckConstraint("refunded BETWEEN 0 AND total"), nullable=False),
    Column("moved_at", TIME),
    Column("paid_at", TIME),
    Column("ended_at", TIME),
    Column("ended_by", ID),
    Column("reason", TEXT),
    Column("head", LargeBinary, nullable=False),
    Column("noted", BigInteger, nullable=False, server_default="0"),
    CheckConstraint("(state IN ('refused', 'cancelled')) = (ended_at IS NOT NULL)"),
    Index("sub_orders_seller", "seller_id", "created_at", "order_id"),
    Index("sub_orders_state", "seller_id", "state", "created_at", "order_id"),
    Index("sub_orders_currency", "seller_id", "currency", "created_at", "order_id"),
    Index("sub_orders_buyer", "buyer_id", "seller_id", "created_at", "order_id"),
)
IS_UNNOTED = sub_orders.c.noted < sub_orders.c.version
partial_index("sub_orders_unnoted", sub_orders.c.order_id, sub_orders.c.seller_id, where=IS_UNNOTED)

# One chain over the heads of sub-orders. It is extended when an anchor is made, which stores its end. `head` is that of
# the sub-order at `version`.
order_heads = Table(
    "order_heads",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("order_id", ID, nullable=False),
    Column("seller_id", ID, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("head", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Index("order_heads_order", "order_id", "number"),
)


def _of_sub_order(name: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["order_id", "seller_id"], ["sub_orders.order_id", "sub_orders.seller_id"], name=name)


# Units that a seller has sent.
shipments = Table(
    "shipments",
    metadata,
    Column("id", ID, primary_key=True),
    Column("order_id", ID, nullable=False),
    Column("seller_id", ID, nullable=False),
    Column("reference", TEXT, nullable=False),
    Column("created_at", TIME, nullable=False),
    Column("version", BigInteger, nullable=False),
    _of_sub_order("shipments_sub_order"),
    Index("shipments_order", "order_id", "created_at", "id"),
)

shipment_lines = Table(
    "shipment_lines",
    metadata,
    Column("shipment_id", ID, ForeignKey("shipments.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("quantity", BigInteger, CheckConstraint("quantity > 0"), nullable=False),
)

# The amount of a refund is that of the transfer with the same id; a refund of nothing has no transfer. `units` were
# returned to stock with it.
refunds = Table(
    "refunds",
    metadata,
    Column("id", ID, primary_key=True),
    Column("order_id", ID, ForeignKey("orders.id"), nullable=False),
    Column("seller_id", ID, nullable=False),
    Column("reason", TEXT, nullable=False),
    Column("restock", Boolean, nullable=False),
    Column("created_at", TIME, nullable=False),
    Column("units", BigInteger, CheckConstraint("units >= 0"), nullable=False),
    Column("version", BigInteger, nullable=False),
    _of_sub_order("refunds_sub_order"),
    Index("refunds_order", "order_id", "created_at", "id"),
)
