"""Tamper evidence for the ledger: a digest of each transfer, and a hash chain over each account's entries.

hash(entry) = SHA-256(hash of the previous entry + leg); leg = SHA-256(digest of the transfer + owner + amount).
Sequence, running balance and time of an entry can be recomputed from these, so they are not hashed. An account's holds,
and the transfers that free them, form a second chain: SHA-256(previous hash + digest of the transfer).
"""

import hashlib
from datetime import UTC, datetime
from uuid import UUID

from repositories.records.money import Transfer

START = bytes(32)


def digest_of(transfer: Transfer, order_head: bytes | None = None) -> bytes:
    """`order_head` is the head of the sub-order when the transfer was made, see `order_chain.py`."""
    parts = (
        transfer.id.hex,
        transfer.phase,
        transfer.debit.hex,
        transfer.credit.hex,
        str(transfer.amount.amount),
        transfer.amount.currency,
        _time(transfer.created_at),
        _id(transfer.order_id),
        _id(transfer.hold_id),
        "" if transfer.expires_at is None else _time(transfer.expires_at),
        transfer.kind,
        # Only if one is set: the digests of transfers older than these columns have no such lines.
        *((f"memo {transfer.memo!r}", f"reference {transfer.reference!r}") if _annotated(transfer) else ()),
        *(() if order_head is None else (f"order {bytes(order_head).hex()}",)),
    )
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).digest()


def leg_of(digest: bytes, owner: UUID, amount: int) -> bytes:
    return hashlib.sha256(digest + owner.bytes + str(amount).encode()).digest()


def chain(first: bytes, second: bytes) -> bytes:
    return hashlib.sha256(first + second).digest()


def _annotated(transfer: Transfer) -> bool:
    return transfer.memo is not None or transfer.reference is not None


def _id(one: UUID | None) -> str:
    return "" if one is None else one.hex


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")
