"""Offers as rows. The port says when a row may be written."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, LargeBinary, bindparam, case, delete, null, select, update

from repositories.relational.offers_port import OfferReads, OfferState, OfferWrites, Settled
from repositories.relational.schema.columns import ID, IDS, LIMIT, TIME
from repositories.relational.schema.functions import among, database_time
from repositories.relational.schema.offer_tables import offers
from repositories.relational.statement_runner import RunnerBacked
from repositories.relational.upserts import insert
from repositories.relational.work import WorkBacked

_its = offers.c.product_id == bindparam("its_id", type_=ID)
_GET = select(offers.c.product_id, offers.c.changing, offers.c.digest).where(
    among(offers.c.product_id, bindparam("ids", type_=IDS))
)
_first = select(offers.c.product_id).order_by(offers.c.product_id).limit(LIMIT)
_PAGE = {False: _first, True: _first.where(offers.c.product_id > bindparam("after", type_=ID))}
_BEGUN = (
    select(offers.c.product_id)
    .where(offers.c.begun_at < bindparam("before", type_=TIME))
    .order_by(offers.c.begun_at, offers.c.product_id)
    .limit(LIMIT)
)

_new = insert(offers).values(
    product_id=bindparam("its_id", type_=ID), changing=bindparam("its_changing", type_=BigInteger())
)
_begun = _new.values(begun_at=database_time())
_higher = case((_begun.excluded.changing > offers.c.changing, _begun.excluded.changing), else_=offers.c.changing)
_BEGIN = _begun.on_conflict_do_update(
    index_elements=[offers.c.product_id],
    set_={"changing": _higher, "digest": null(), "begun_at": _begun.excluded.begun_at},
)
_known = _new.values(digest=bindparam("its_digest", type_=LargeBinary()))
_SETTLE = _known.on_conflict_do_update(
    index_elements=[offers.c.product_id],
    set_={"digest": _known.excluded.digest, "begun_at": null()},
    where=offers.c.changing == _known.excluded.changing,
)
_CLOSE = update(offers).where(_its).values(digest=null(), begun_at=null())
_FORGET = delete(offers).where(_its)


class SqlOfferReads(RunnerBacked, OfferReads):
    def get(self, product_ids: Collection[UUID]) -> dict[UUID, OfferState]:
        rows = self._runner.rows(_GET, {"ids": list(product_ids)}) if product_ids else ()
        return {one: OfferState(changing, digest and bytes(digest)) for one, changing, digest in rows}

    def page(self, *, after: UUID | None, limit: int) -> Sequence[UUID]:
        values = {"limit": limit} | ({} if after is None else {"after": after})
        return [one for (one,) in self._runner.rows(_PAGE[after is not None], values)]

    def begun(self, *, before: datetime, limit: int) -> Sequence[UUID]:
        return [one for (one,) in self._runner.rows(_BEGUN, {"before": before, "limit": limit})]


class SqlOfferWrites(WorkBacked, OfferWrites):
    def begin(self, product_id: UUID, version: int) -> None:
        self._work.change(_BEGIN, {"its_id": product_id, "its_changing": version})

    def settle(self, known: Collection[Settled]) -> None:
        rows = [
            {"its_id": one.product_id, "its_changing": one.changing, "its_digest": one.digest}
            for one in sorted(known, key=lambda one: one.product_id)
        ]
        if rows:
            self._work.change(_SETTLE, rows)

    def close(self, product_id: UUID) -> None:
        self._work.change(_CLOSE, {"its_id": product_id})

    def forget(self, product_id: UUID) -> None:
        self._work.change(_FORGET, {"its_id": product_id})
