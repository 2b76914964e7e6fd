"""Which sign-ins a process regards as lost if a server does not have them."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from msgspec.structs import replace

from repositories.hot.redis.recent_sign_ins import KEPT_SECONDS, MOST, RecentSignIns
from tests.engines.test_hot_faults import session


class SettableSeconds:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def signed(recent: RecentSignIns, digest: bytes, account: UUID | None = None, at: datetime | None = None) -> UUID:
    one = session()
    one = replace(one, account_id=account or one.account_id, created_at=at or one.created_at)
    recent.note(one, digest)
    return one.id


def test_a_lost_sign_in_is_counted_once() -> None:
    recent = RecentSignIns()
    signed(recent, b"a")
    signed(recent, b"b")
    assert recent.digests() == [b"a", b"b"]
    assert (recent.lost([b"a", b"x"]), recent.lost([b"a", b"b"])) == (1, 1)


def test_ended_sessions_are_not_counted_as_lost() -> None:
    recent, account, until = RecentSignIns(), uuid4(), datetime(2026, 1, 1, tzinfo=UTC)
    kept = signed(recent, b"kept", account, until)
    signed(recent, b"ended", account, until)
    signed(recent, b"later", account, until + timedelta(seconds=1))
    signed(recent, b"of another", at=until)
    recent.all_ended(account, kept, until)
    assert recent.digests() == [b"kept", b"later", b"of another"]
    recent.ended(uuid4(), kept)
    recent.ended(account, kept)
    recent.all_ended(account, None)
    assert recent.digests() == [b"of another"]


def test_a_limited_number_is_kept_for_an_hour() -> None:
    clock = SettableSeconds()
    recent = RecentSignIns(clock)
    signed(recent, b"old")
    clock.now = KEPT_SECONDS + 1
    assert recent.digests() == []
    for number in range(MOST + 1):
        signed(recent, str(number).encode())
    assert recent.digests() == [str(number).encode() for number in range(1, MOST + 1)]
