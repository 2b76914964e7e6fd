"""One chain over the heads of all sub-orders, extended when an anchor is made.

The anchor stores the end of this chain, which covers every step. A sub-order's head changes with each of its steps, and
there are too many sub-orders to list them all in an anchor. So each head that is new since the previous anchor gets a
row in this chain. Commands do nothing for it.
"""

import hashlib
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, bindparam, insert, select, update

from repositories.records.chain_heads import PartsHead
from repositories.relational.money.digests import START, chain
from repositories.relational.schema.columns import LIMIT
from repositories.relational.schema.order_tables import IS_UNNOTED, order_heads, sub_orders
from repositories.relational.work import Work

_part = sub_orders.c
_LAST = select(order_heads.c.number, order_heads.c.digest).order_by(order_heads.c.number.desc()).limit(1)
_LOCK_LAST = _LAST.with_for_update()
# Skips sub-orders that a command has locked, so that this cannot deadlock.
_UNNOTED = (
    select(_part.order_id, _part.seller_id, _part.version, _part.head)
    .where(IS_UNNOTED)
    .order_by(_part.order_id, _part.seller_id)
    .limit(LIMIT)
    .with_for_update(key_share=True, skip_locked=True)
)
_ADD = insert(order_heads)
_NOTED = (
    update(sub_orders)
    .where(
        order_heads.c.number > bindparam("before", type_=BigInteger()),
        _part.order_id == order_heads.c.order_id,
        _part.seller_id == order_heads.c.seller_id,
    )
    .values(noted=order_heads.c.version)
)


def note(work: Work, limit: int) -> tuple[int, PartsHead]:
    # Two statements: after a wait for a concurrent call, the second reads the end which that call has written.
    work.rows(_LOCK_LAST, {})
    before, digest = next(((one, bytes(digest)) for one, digest in work.rows(_LAST, {})), (0, START))
    added: list[dict[str, Any]] = []
    for number, (order_id, seller_id, version, head) in enumerate(work.rows(_UNNOTED, {"limit": limit}), before + 1):
        digest = chain(digest, leg_of_head(order_id, seller_id, version, bytes(head)))
        row = {"number": number, "order_id": order_id, "seller_id": seller_id, "version": version}
        added.append(row | {"head": bytes(head), "digest": digest})
    if added:
        work.change(_ADD, added)
        work.change(_NOTED, {"before": before})
    return len(added), PartsHead(before + len(added), digest)


def leg_of_head(order_id: UUID, seller_id: UUID, version: int, head: bytes) -> bytes:
    """The digest of a row's own content, without the rows before it. It is stored for ever, so this cannot change."""
    return hashlib.sha256(f"{order_id.hex} {seller_id.hex} {version} {head.hex()}".encode()).digest()
