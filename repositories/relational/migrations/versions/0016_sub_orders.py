"""split orders into sub-orders by seller, and create shipments

Existing orders are split by seller, a batch of orders at a time, so no statement depends on the table's size. Earlier
fulfilments and returns were recorded as a whole only, so a fulfilment becomes one shipment of all units of each seller.
"""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from alembic import op

from repositories.relational.schema.columns import ID, TEXT, TIME

revision = "0016"
down_revision: str | None = "0015"

BATCH = 10_000
STATES = "state IN ('placed', 'paid', 'partly_fulfilled', 'fulfilled', 'refused', 'cancelled', 'refunded')"
_SUB_ORDER = (["order_id", "seller_id"], ["sub_orders.order_id", "sub_orders.seller_id"])

# An order that was refunded had been fulfilled before, if its version counts one change more than payment and refunds.
_WAS_FULFILLED = """(o.state = 'fulfilled' OR o.state = 'refunded' AND o.version = 3 + (
    SELECT COUNT(*) FROM refunds AS r WHERE r.order_id = o.id
  ))"""
_SPAN = "o.id > :after AND o.id <= :upto"

_LINES = f"""
UPDATE order_lines SET
  created_at = o.created_at,
  fulfilled = CASE WHEN {_WAS_FULFILLED} THEN quantity ELSE 0 END,
  returned = CASE WHEN EXISTS (
    SELECT 1 FROM reservations AS r
    WHERE r.order_id = o.id AND r.product_id = order_lines.product_id AND r.returned > 0
  ) THEN quantity ELSE 0 END
FROM orders AS o WHERE o.id = order_lines.order_id AND {_SPAN}
"""  # noqa: S608  - parts of this file

# For each seller of each order: the share, the units, and the returned units.
_SHARES = """(
  SELECT order_id, seller_id, CAST(SUM(unit_price * quantity) AS BIGINT) AS total,
    CAST(SUM(quantity) AS BIGINT) AS units, CAST(SUM(returned) AS BIGINT) AS back
  FROM order_lines WHERE order_id > :after AND order_id <= :upto GROUP BY order_id, seller_id
)"""

# Free shares were refunded with the rest of their order. Now each has a refund of its own.
_FREE_REFUNDS = f"""
INSERT INTO refunds (id, order_id, seller_id, reason, restock, created_at, units)
SELECT {{new_id}}, o.id, share.seller_id, '', share.back > 0, COALESCE(o.moved_at, o.created_at), share.back
FROM orders AS o JOIN {_SHARES} AS share ON share.order_id = o.id
WHERE o.state = 'refunded' AND share.total = 0 AND NOT EXISTS (
  SELECT 1 FROM refunds AS r WHERE r.order_id = o.id AND r.seller_id = share.seller_id
)
"""  # noqa: S608  - parts of this file

_REFUNDS = """
UPDATE refunds SET units = (
  SELECT CAST(COALESCE(SUM(l.returned), 0) AS BIGINT) FROM order_lines AS l
  WHERE l.order_id = refunds.order_id AND l.seller_id = refunds.seller_id
) WHERE restock AND order_id > :after AND order_id <= :upto
"""

_SUB_ORDERS = f"""
INSERT INTO sub_orders (
  order_id, seller_id, buyer_id, currency, created_at, total, state, version, refunded, paid_at, ended_at
)
SELECT id, seller_id, buyer_id, currency, created_at, total,
  CASE WHEN state IN ('placed', 'cancelled') THEN state WHEN given AND refunded = total THEN 'refunded'
    WHEN state = 'fulfilled' OR back = units THEN 'fulfilled' ELSE state END,
  1, refunded,
  CASE WHEN state NOT IN ('placed', 'cancelled') THEN COALESCE(sold_at, moved_at, created_at) END,
  CASE WHEN state = 'cancelled' THEN COALESCE(moved_at, created_at) END
FROM (
  SELECT o.id, share.seller_id, o.buyer_id, o.currency, o.created_at, share.total, share.units, share.back,
    o.state, o.moved_at,
    (SELECT CAST(COALESCE(SUM(t.amount), 0) AS BIGINT) FROM transfers AS t
      WHERE t.order_id = o.id AND t.kind = 'refund' AND t.debit = share.seller_id) AS refunded,
    EXISTS (SELECT 1 FROM refunds AS r WHERE r.order_id = o.id AND r.seller_id = share.seller_id) AS given,
    (SELECT MIN(r.sold_at) FROM reservations AS r WHERE r.order_id = o.id) AS sold_at
  FROM orders AS o JOIN {_SHARES} AS share ON share.order_id = o.id
) AS split
"""  # noqa: S608  - parts of this file

_SHIPMENTS = f"""
INSERT INTO shipments (id, order_id, seller_id, reference, created_at)
SELECT {{new_id}}, s.order_id, s.seller_id, '', COALESCE(o.moved_at, o.created_at)
FROM sub_orders AS s JOIN orders AS o ON o.id = s.order_id
WHERE {_SPAN} AND EXISTS (
  SELECT 1 FROM order_lines AS l WHERE l.order_id = o.id AND l.seller_id = s.seller_id AND l.fulfilled > 0
)
"""  # noqa: S608  - parts of this file

_SHIPMENT_LINES = """
INSERT INTO shipment_lines (shipment_id, number, quantity)
SELECT s.id, l.number, l.quantity
FROM shipments AS s JOIN order_lines AS l ON l.order_id = s.order_id AND l.seller_id = s.seller_id
WHERE s.order_id > :after AND s.order_id <= :upto
"""

_its_shipments = "FROM shipments AS h WHERE h.order_id = sub_orders.order_id AND h.seller_id = sub_orders.seller_id"
_its_refunds = "FROM refunds AS r WHERE r.order_id = sub_orders.order_id AND r.seller_id = sub_orders.seller_id"
_STEPS = f"""
UPDATE sub_orders SET
  version = CASE state WHEN 'placed' THEN 1 ELSE 2 END
    + (SELECT COUNT(*) {_its_shipments}) + (SELECT COUNT(*) {_its_refunds}),
  moved_at = COALESCE(
    (SELECT MAX(r.created_at) {_its_refunds}), (SELECT MAX(h.created_at) {_its_shipments}), ended_at, paid_at
  )
WHERE order_id > :after AND order_id <= :upto
"""  # noqa: S608  - parts of this file

# An order changes once when it is paid or cancelled, then with each shipment and refund.
_WHOLE = """
UPDATE orders SET
  version = CASE state WHEN 'placed' THEN 1 ELSE 2 END
    + (SELECT COUNT(*) FROM shipments AS h WHERE h.order_id = orders.id)
    + (SELECT COUNT(*) FROM refunds AS r WHERE r.order_id = orders.id),
  state = CASE WHEN state = 'paid' AND NOT EXISTS (
    SELECT 1 FROM sub_orders AS s WHERE s.order_id = orders.id AND s.state = 'paid'
  ) THEN 'fulfilled' ELSE state END
WHERE id > :after AND id <= :upto
"""


# For the downgrade: back to one fulfilment of all units.
_FORMER = """
UPDATE orders SET
  state = CASE WHEN state = 'fulfilled' AND NOT EXISTS (SELECT 1 FROM shipments AS h WHERE h.order_id = orders.id)
    THEN 'paid' ELSE state END,
  version = version - (SELECT COUNT(*) FROM shipments AS h WHERE h.order_id = orders.id)
  + CASE WHEN EXISTS (SELECT 1 FROM shipments AS h WHERE h.order_id = orders.id) AND NOT EXISTS (
    SELECT 1 FROM order_lines AS l WHERE l.order_id = orders.id AND l.fulfilled < l.quantity
  ) THEN 1 ELSE 0 END
"""


def upgrade() -> None:
    engine = op.get_bind().dialect
    for column in ("fulfilled", "returned"):
        check = f"CHECK ({column} BETWEEN 0 AND quantity)"
        op.execute(f"ALTER TABLE order_lines ADD COLUMN {column} BIGINT NOT NULL DEFAULT 0 {check}")
    epoch = "0" if engine.name == "sqlite" else "'1970-01-01+00'"
    time = TIME.compile(dialect=engine)
    op.execute(f"ALTER TABLE order_lines ADD COLUMN created_at {time} NOT NULL DEFAULT {epoch}")
    op.execute("ALTER TABLE refunds ADD COLUMN units BIGINT NOT NULL DEFAULT 0 CHECK (units >= 0)")
    _create()
    # Created before the batches, whose statements find shipments by it.
    op.create_index("shipments_order", "shipments", ["order_id", "created_at", "id"])
    new_id = "randomblob(16)" if engine.name == "sqlite" else "gen_random_uuid()"
    for span in _spans():
        for statement in (
            *(_LINES, _REFUNDS, _FREE_REFUNDS.format(new_id=new_id), _SUB_ORDERS),
            *(_SHIPMENTS.format(new_id=new_id), _SHIPMENT_LINES, _STEPS, _WHOLE),
        ):
            op.get_bind().execute(_spanned(statement), span)
    _require_sub_order()
    op.create_index("order_lines_product", "order_lines", ["product_id", "created_at", "order_id"])
    op.create_index("orders_buyer_state", "orders", ["buyer_id", "state", "created_at", "id"])
    op.create_index("orders_buyer_currency", "orders", ["buyer_id", "currency", "created_at", "id"])
    op.create_index("sub_orders_seller", "sub_orders", ["seller_id", "created_at", "order_id"])
    op.create_index("sub_orders_state", "sub_orders", ["seller_id", "state", "created_at", "order_id"])
    op.create_index("sub_orders_currency", "sub_orders", ["seller_id", "currency", "created_at", "order_id"])
    op.create_index("sub_orders_buyer", "sub_orders", ["buyer_id", "seller_id", "created_at", "order_id"])
    # Makes servers of an earlier version fail. They would write orders without sub-orders.
    op.drop_table("order_sellers")


def _create() -> None:
    op.create_table(
        "sub_orders",
        sa.Column("order_id", ID, sa.ForeignKey("orders.id"), primary_key=True),
        sa.Column("seller_id", ID, primary_key=True),
        sa.Column("buyer_id", ID, nullable=False),
        sa.Column("currency", TEXT, sa.CheckConstraint("length(currency) = 3"), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("total", sa.BigInteger, sa.CheckConstraint("total >= 0"), nullable=False),
        sa.Column("state", TEXT, sa.CheckConstraint(STATES), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("refunded", sa.BigInteger, sa.CheckConstraint("refunded BETWEEN 0 AND total"), nullable=False),
        sa.Column("moved_at", TIME),
        sa.Column("paid_at", TIME),
        sa.Column("ended_at", TIME),
        sa.Column("ended_by", ID),
        sa.Column("reason", TEXT),
        sa.CheckConstraint("(state IN ('refused', 'cancelled')) = (ended_at IS NOT NULL)"),
    )
    op.create_table(
        "shipments",
        sa.Column("id", ID, primary_key=True),
        sa.Column("order_id", ID, nullable=False),
        sa.Column("seller_id", ID, nullable=False),
        sa.Column("reference", TEXT, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(*_SUB_ORDER, name="shipments_sub_order"),
    )
    op.create_table(
        "shipment_lines",
        sa.Column("shipment_id", ID, sa.ForeignKey("shipments.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("quantity", sa.BigInteger, sa.CheckConstraint("quantity > 0"), nullable=False),
    )


def _spans() -> Iterator[dict[str, UUID]]:
    """The orders in batches, by id: after one id, up to another."""
    ids = _typed("SELECT id FROM orders WHERE id > :after ORDER BY id LIMIT :limit", "after").columns(id=ID)
    after = UUID(int=0)
    while found := op.get_bind().execute(ids, {"after": after, "limit": BATCH}).scalars().all():
        yield {"after": after, "upto": found[-1]}
        after = found[-1]


def _spanned(statement: str) -> Any:
    return _typed(statement, "after", "upto")


def _typed(statement: str, *ids: str) -> sa.TextClause:
    return sa.text(statement).bindparams(*(sa.bindparam(name, type_=ID) for name in ids))


def _require_sub_order() -> None:
    """Add a foreign key from refunds to sub-orders. On SQLite the table has to be made anew."""
    if op.get_bind().dialect.name != "sqlite":
        op.create_foreign_key("refunds_sub_order", "refunds", "sub_orders", *(_local(names) for names in _SUB_ORDER))
        return
    _refunds_anew(
        sa.Column("units", sa.BigInteger, sa.CheckConstraint("units >= 0"), nullable=False),
        sa.ForeignKeyConstraint(*_SUB_ORDER, name="refunds_sub_order"),
    )


def _refunds_anew(*more: Any) -> None:
    """Create the table anew and copy the rows, since SQLite cannot alter it like this."""
    op.rename_table("refunds", "earlier")
    op.drop_index("refunds_order", "earlier")
    columns = ["id", "order_id", "seller_id", "reason", "restock", "created_at"]
    op.create_table(
        "refunds",
        sa.Column("id", ID, primary_key=True),
        sa.Column("order_id", ID, sa.ForeignKey("orders.id"), nullable=False),
        sa.Column("seller_id", ID, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("restock", sa.Boolean, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        *more,
    )
    names = ", ".join([*columns, *(column.name for column in more if isinstance(column, sa.Column))])
    op.execute(f"INSERT INTO refunds ({names}) SELECT {names} FROM earlier")  # noqa: S608  - names of this file
    op.drop_table("earlier")
    op.create_index("refunds_order", "refunds", ["order_id", "created_at", "id"])


def _local(names: list[str]) -> list[str]:
    return [name.rpartition(".")[2] for name in names]


def downgrade() -> None:
    """Orders keep their state as a whole; shipments and the states of sub-orders are lost."""
    op.create_table(
        "order_sellers",
        sa.Column("seller_id", ID, primary_key=True),
        sa.Column("created_at", TIME, primary_key=True),
        sa.Column("order_id", ID, sa.ForeignKey("orders.id"), primary_key=True),
    )
    op.execute(_FORMER)
    op.execute("INSERT INTO order_sellers SELECT seller_id, created_at, order_id FROM sub_orders")
    if op.get_bind().dialect.name == "sqlite":
        _refunds_anew()
    else:
        op.drop_constraint("refunds_sub_order", "refunds")
        op.drop_column("refunds", "units")
    for name, table in (("buyer_currency", "orders"), ("buyer_state", "orders"), ("product", "order_lines")):
        op.drop_index(f"{table}_{name}", table)
    for table in ("shipment_lines", "shipments", "sub_orders"):
        op.drop_table(table)
    for column in ("created_at", "returned", "fulfilled"):
        op.drop_column("order_lines", column)
