"""Sessions and the digests of their tokens, for tests."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from repositories.hot import SessionStore
from repositories.records.people import Session

NOW = datetime(2031, 5, 17, 9, 30, 15, 123457, tzinfo=UTC)


def session(account: UUID, *, life: timedelta = timedelta(days=30), device: str | None = "phone") -> Session:
    return Session(id=uuid4(), account_id=account, device=device, created_at=NOW, expires_at=NOW + life)


def digest() -> bytes:
    return uuid4().bytes + uuid4().bytes


def added(sessions: SessionStore, account: UUID, count: int = 1) -> list[tuple[Session, bytes]]:
    pairs = [(session(account), digest()) for _ in range(count)]
    for made, its_digest in pairs:
        sessions.add(made, its_digest)
    return pairs
