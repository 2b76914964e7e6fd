"""Units on hand, and how many of them are reserved."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, select

from repositories.records.orders import Stock
from repositories.relational.orders_port import StockReads
from repositories.relational.schema.columns import IDS, LIMIT
from repositories.relational.schema.functions import among
from repositories.relational.schema.money_tables import reservations
from repositories.relational.schema.tables import stock
from repositories.relational.statement_runner import RunnerBacked

STOCK_COLUMNS = tuple(stock.c[name] for name in Stock.__struct_fields__)

LEVELS = select(*STOCK_COLUMNS).where(among(stock.c.product_id, bindparam("ids", type_=IDS)))
_DUE = (
    select(reservations.c.order_id)
    .where(reservations.c.sold_at.is_(None), reservations.c.expires_at <= bindparam("now"))
    .distinct()
    .add_columns(reservations.c.expires_at)
    .order_by(reservations.c.expires_at, reservations.c.order_id)
    .limit(LIMIT)
)


class SqlStockReads(RunnerBacked, StockReads):
    def available(self, product_ids: Collection[UUID]) -> dict[UUID, int]:
        levels = self.levels(product_ids)
        return {one: levels[one].available if one in levels else 0 for one in product_ids}

    def levels(self, product_ids: Collection[UUID]) -> dict[UUID, Stock]:
        if not product_ids:
            return {}
        found = (Stock(*row) for row in self._runner.rows(LEVELS, {"ids": list(product_ids)}))
        return {level.product_id: level for level in found}

    def due_reservations(self, *, now: datetime, limit: int) -> list[UUID]:
        return [row.order_id for row in self._runner.rows(_DUE, {"now": now, "limit": limit})]
