"""Claims of idempotency keys for tests."""

from datetime import timedelta
from uuid import uuid4

from repositories.records.idempotency import Answer, RequestKey
from repositories.relational import Transaction
from repositories.relational.idempotency_port import Claimed
from tests.contracts.transactions import SECOND

LEASE = 3600 * SECOND
BODY = b"\x01" * 32
ANSWER = Answer(201, {"location": "/orders/1", "etag": '"\u00fc"'}, b'{"a": "\xf0\x9f\x92\xa1"}\x00\xff')


def new_key() -> RequestKey:
    return RequestKey(uuid4(), "POST /transfers", uuid4().hex)


def claim(unit: Transaction, key: RequestKey, *, body: bytes = BODY, lease: timedelta = LEASE) -> Claimed:
    return unit.idempotency.claim(key, body, lease)
