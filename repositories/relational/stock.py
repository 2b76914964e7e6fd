"""Units on hand."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.postgresql import insert

from repositories.relational.columns import IDS, among
from repositories.relational.port import StockReads, StockWrites
from repositories.relational.runner import Runner
from repositories.relational.tables import stock

_AVAILABLE = select(stock.c.product_id, stock.c.on_hand).where(among(stock.c.product_id, bindparam("ids", type_=IDS)))
_insert = insert(stock)
_PUT = _insert.on_conflict_do_update(index_elements=[stock.c.product_id], set_={"on_hand": _insert.excluded.on_hand})


class SqlStockReads(StockReads):
    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def available(self, product_ids: Collection[UUID]) -> dict[UUID, int]:
        units = dict.fromkeys(product_ids, 0)
        for product_id, on_hand in self._runner.rows(_AVAILABLE, {"ids": list(units)}) if units else ():
            units[product_id] = on_hand
        return units


class SqlStockWrites(StockWrites):
    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def put(self, product_id: UUID, on_hand: int) -> None:
        self._runner.change(_PUT, {"product_id": product_id, "on_hand": on_hand})
