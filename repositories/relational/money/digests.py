"""What makes a changed row of the ledger show: a digest of each transfer, and a hash chain over each account's entries.

An entry's hash is made of the one before it and of its leg, and a leg of the transfer's digest, the owner and the
amount. Sequence, running balance and time of an entry follow from these, so they need no hash to be checked.
"""

import hashlib
from datetime import UTC, datetime
from uuid import UUID

from repositories.money_records import Transfer

START = bytes(32)


def digest_of(transfer: Transfer) -> bytes:
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
    )
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).digest()


def leg_of(digest: bytes, owner: UUID, amount: int) -> bytes:
    return hashlib.sha256(digest + owner.bytes + str(amount).encode()).digest()


def chain(first: bytes, second: bytes) -> bytes:
    return hashlib.sha256(first + second).digest()


def _id(one: UUID | None) -> str:
    return "" if one is None else one.hex


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")
