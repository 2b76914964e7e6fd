"""The contract of `SessionStore`, for every adapter."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from repositories.errors import Invalid
from repositories.hot import SessionStore, open_sessions
from repositories.records import Session
from tests.contracts.relational_store import new_database

NOW = datetime(2031, 5, 17, 9, 30, 15, 123457, tzinfo=UTC)
TIMEOUT = timedelta(seconds=5)
MICROSECOND = timedelta(microseconds=1)
DEVICES = [
    *(None, "", "nul \x00 inside", 'a\nb\t"quoted" \\ </script>', "x" * 5_000),
    "Gr\u00fc\u00dfe e\u0301 \U0001f469\u200d\U0001f467 \u0645\u0631\u062d\u0628\u0627 \u0130i\u0131I",
]
LAST = datetime.max.replace(tzinfo=UTC)


@pytest.fixture(
    scope="module",
    params=["embedded", *(pytest.param(kind, marks=pytest.mark.engines) for kind in ("redis", "postgres"))],
)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "postgres":
        return new_database(request.getfixturevalue("engines").postgres())
    if request.param == "redis":
        return str(request.getfixturevalue("engines").sessions().url)
    return f"sqlite:///{tmp_path_factory.mktemp('sessions') / 'hot.db'}"


@pytest.fixture
def sessions(url: str) -> Iterator[SessionStore]:
    store = open_sessions(url, timeout=TIMEOUT, pool=8)
    store.migrate()
    yield store
    store.close()


def session(account: UUID, *, life: timedelta = timedelta(days=30), device: str | None = "phone") -> Session:
    return Session(id=uuid4(), account_id=account, device=device, created_at=NOW, expires_at=NOW + life)


def test_a_session_is_found_with_the_greatest_noted_positions(url: str) -> None:
    store, plain = open_sessions(url, timeout=TIMEOUT, pool=8, seen=True), open_sessions(url, timeout=TIMEOUT, pool=8)
    store.migrate()
    mine, theirs = uuid4(), uuid4()
    [(_, one), (_, other)] = added(store, mine, 2)
    [(_, third)] = added(store, theirs)
    assert found_seen(store, one) == {}
    low, middle, high = ("0" * 23 + digit for digit in "19f")
    store.note_seen(mine, {"relational": middle, "documents": low})
    store.note_seen(mine, {"relational": low, "documents": high})
    store.note_seen(mine, {})
    for of_it in (one, other):
        assert found_seen(store, of_it) == {"relational": middle, "documents": high}
    assert found_seen(store, third) == {}
    # A store of a system without replicas does not read them.
    assert found_seen(plain, one) == {}
    at_once = [f"{number:024x}" for number in range(100, 200)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda position: store.note_seen(theirs, {"documents": position}), at_once))
    assert found_seen(store, third) == {"documents": at_once[-1]}
    # The positions are not stored in the record of the session.
    found = store.find(one, now=NOW)
    assert found is not None
    store.note_use(replace(found, used_at=NOW, seen=()), one)
    assert found_seen(store, one) == {"relational": middle, "documents": high}
    store.close()
    plain.close()


def found_seen(store: SessionStore, of_it: bytes) -> dict[str, str]:
    found = store.find(of_it, now=NOW)
    assert found is not None
    return dict(found.seen)


def digest() -> bytes:
    return uuid4().bytes + uuid4().bytes


def added(sessions: SessionStore, account: UUID, count: int = 1) -> list[tuple[Session, bytes]]:
    pairs = [(session(account), digest()) for _ in range(count)]
    for made, its_digest in pairs:
        sessions.add(made, its_digest)
    return pairs


def test_a_session_is_found_by_its_digest_as_it_was(sessions: SessionStore) -> None:
    [(made, its_digest)] = added(sessions, uuid4())
    assert sessions.find(its_digest, now=NOW) == made
    assert sessions.find(digest(), now=NOW) is None


@pytest.mark.parametrize("device", DEVICES)
def test_devices_are_kept_as_they_are(sessions: SessionStore, device: str | None) -> None:
    made, its_digest = session(uuid4(), device=device), digest()
    sessions.add(made, its_digest)
    assert sessions.find(its_digest, now=NOW) == made
    assert sessions.of_account(made.account_id, now=NOW) == [made]


def test_a_lone_surrogate_is_invalid_and_leaves_nothing(sessions: SessionStore) -> None:
    made, its_digest = session(uuid4(), device="\ud800"), digest()
    with pytest.raises(Invalid):
        sessions.add(made, its_digest)
    assert sessions.find(its_digest, now=NOW) is None
    assert sessions.of_account(made.account_id, now=NOW) == []


def test_times_keep_their_microseconds(sessions: SessionStore) -> None:
    made, its_digest = session(uuid4(), life=timedelta(days=1, microseconds=999_999)), digest()
    sessions.add(made, its_digest)
    found = sessions.find(its_digest, now=NOW)
    assert found is not None
    assert (found.created_at, found.expires_at) == (made.created_at, made.expires_at)
    assert found.expires_at.utcoffset() == timedelta()


def test_digests_are_any_bytes(sessions: SessionStore) -> None:
    account = uuid4()
    tail = uuid4().bytes
    for head in (b"", b"\x00", b"\x00\x00", b"\xff\xfe", b"a" * 64):
        made = session(account)
        sessions.add(made, head + tail)
        assert sessions.find(head + tail, now=NOW) == made
    assert len(sessions.of_account(account, now=NOW)) == 5


def test_a_session_ends_at_its_exact_expiry(sessions: SessionStore) -> None:
    [(made, its_digest)] = added(sessions, uuid4())
    for now, live in ((made.expires_at - MICROSECOND, True), (made.expires_at, False), (LAST, False)):
        assert (sessions.find(its_digest, now=now) is not None) is live
        assert (sessions.of_account(made.account_id, now=now) == [made]) is live


@pytest.mark.parametrize("year", [1971, 2020, 2999])
def test_the_callers_clock_decides_not_the_servers(sessions: SessionStore, year: int) -> None:
    then = NOW.replace(year=year)
    made = Session(uuid4(), uuid4(), "old", then, then + timedelta(days=1))
    its_digest = digest()
    sessions.add(made, its_digest)
    assert sessions.find(its_digest, now=then) == made
    assert sessions.of_account(made.account_id, now=then) == [made]
    assert sessions.find(its_digest, now=made.expires_at) is None


@pytest.mark.parametrize("life", [timedelta(), timedelta(days=-400), timedelta(microseconds=1)])
def test_an_expired_session_can_be_added(sessions: SessionStore, life: timedelta) -> None:
    made, its_digest = session(uuid4(), life=life), digest()
    sessions.add(made, its_digest)
    assert sessions.find(its_digest, now=NOW + MICROSECOND) is None
    assert sessions.of_account(made.account_id, now=NOW + MICROSECOND) == []


def test_the_longest_possible_life(sessions: SessionStore) -> None:
    made = Session(uuid4(), uuid4(), None, NOW, LAST)
    its_digest = digest()
    sessions.add(made, its_digest)
    assert sessions.find(its_digest, now=NOW + timedelta(days=365 * 5_000)) == made


def test_an_accounts_sessions_come_newest_first_by_id(sessions: SessionStore) -> None:
    account, other = uuid4(), uuid4()
    made = [pair[0] for pair in added(sessions, account, 25)]
    added(sessions, other, 2)
    assert sessions.of_account(account, now=NOW) == sorted(made, key=lambda s: s.id, reverse=True)
    assert sessions.of_account(uuid4(), now=NOW) == []


def test_end_ends_one(sessions: SessionStore) -> None:
    account = uuid4()
    (first, first_digest), (second, second_digest) = added(sessions, account, 2)
    assert sessions.end(account, first.id) is True
    assert sessions.find(first_digest, now=NOW) is None
    assert sessions.find(second_digest, now=NOW) == second
    assert sessions.of_account(account, now=NOW) == [second]
    assert sessions.end(account, first.id) is False


def test_end_of_anothers_session_ends_nothing(sessions: SessionStore) -> None:
    [(made, its_digest)] = added(sessions, uuid4())
    mine = uuid4()
    added(sessions, mine)
    assert sessions.end(mine, made.id) is False
    assert sessions.end(uuid4(), made.id) is False
    assert sessions.find(its_digest, now=NOW) == made


def test_end_all_keeps_one(sessions: SessionStore) -> None:
    account, other = uuid4(), uuid4()
    pairs = added(sessions, account, 5)
    [(foreign, foreign_digest)] = added(sessions, other)
    kept, kept_digest = pairs[2]
    for _ in range(2):
        sessions.end_all(account, keep=kept.id)
        assert sessions.of_account(account, now=NOW) == [kept]
        assert [s for _, d in pairs if (s := sessions.find(d, now=NOW))] == [kept]
    sessions.end_all(account, keep=foreign.id)
    assert sessions.find(kept_digest, now=NOW) is None
    assert sessions.find(foreign_digest, now=NOW) == foreign


def test_end_all_without_one_to_keep(sessions: SessionStore) -> None:
    account = uuid4()
    pairs = added(sessions, account, 3)
    for _ in range(2):
        sessions.end_all(account, keep=None)
        assert sessions.of_account(account, now=NOW) == []
    assert not any(sessions.find(its_digest, now=NOW) for _, its_digest in pairs)


def test_adding_again_changes_nothing(sessions: SessionStore) -> None:
    [(made, its_digest)] = added(sessions, uuid4())
    sessions.add(made, its_digest)
    assert sessions.of_account(made.account_id, now=NOW) == [made]
    sessions.end_all(made.account_id, keep=None)
    assert sessions.find(its_digest, now=NOW) is None


def test_a_longer_life_replaces_the_shorter(sessions: SessionStore) -> None:
    [(made, its_digest)] = added(sessions, uuid4())
    longer = replace(made, expires_at=made.expires_at + timedelta(days=30))
    sessions.add(longer, its_digest)
    assert sessions.find(its_digest, now=made.expires_at) == longer
    assert sessions.of_account(made.account_id, now=made.expires_at) == [longer]


def test_a_new_token_for_a_session_ends_its_old_one(sessions: SessionStore) -> None:
    [(made, old)] = added(sessions, uuid4())
    new = digest()
    sessions.add(made, new)
    assert sessions.find(old, now=NOW) is None
    assert sessions.of_account(made.account_id, now=NOW) == [made]
    assert sessions.end(made.account_id, made.id) is True
    assert sessions.find(new, now=NOW) is None


def test_a_token_belongs_to_the_session_that_took_it_last(sessions: SessionStore) -> None:
    [(first, its_digest)] = added(sessions, uuid4())
    second = session(uuid4())
    sessions.add(second, its_digest)
    assert sessions.find(its_digest, now=NOW) == second
    assert sessions.of_account(first.account_id, now=NOW) == []
    assert sessions.end(first.account_id, first.id) is False
    sessions.end_all(first.account_id, keep=None)
    assert sessions.find(its_digest, now=NOW) == second


def test_no_session_escapes_end_all_while_others_are_added(sessions: SessionStore) -> None:
    """In any order: every session that can be found is listed, and the next `end_all` ends it."""
    account = uuid4()
    pairs = [(session(account), digest()) for _ in range(24)]
    start = threading.Barrier(4)

    def add(part: int) -> None:
        start.wait()
        for made, its_digest in pairs[part::3]:
            sessions.add(made, its_digest)

    def end_all() -> None:
        start.wait()
        for _ in range(12):
            sessions.end_all(account, keep=None)

    with ThreadPoolExecutor(4) as threads:
        for job in [*(threads.submit(add, part) for part in range(3)), threads.submit(end_all)]:
            job.result()
    found = {s.id for _, its_digest in pairs if (s := sessions.find(its_digest, now=NOW))}
    assert {s.id for s in sessions.of_account(account, now=NOW)} == found
    sessions.end_all(account, keep=None)
    assert not any(sessions.find(its_digest, now=NOW) for _, its_digest in pairs)


def test_one_of_concurrent_calls_ends_a_session(sessions: SessionStore) -> None:
    [(made, _)] = added(sessions, uuid4())
    start = threading.Barrier(4)

    def end() -> bool:
        start.wait()
        return sessions.end(made.account_id, made.id)

    with ThreadPoolExecutor(4) as threads:
        outcomes = [job.result() for job in [threads.submit(end) for _ in range(4)]]
    assert outcomes.count(True) == 1


def test_sessions_outlive_the_client_that_added_them(url: str, sessions: SessionStore) -> None:
    [(made, its_digest)] = added(sessions, uuid4())
    sessions.close()
    other = open_sessions(url, timeout=TIMEOUT, pool=1)
    try:
        assert other.find(its_digest, now=NOW) == made
        assert other.end(made.account_id, made.id) is True
    finally:
        other.close()
    assert sessions.find(its_digest, now=NOW) is None


def test_migrating_again_does_nothing(sessions: SessionStore) -> None:
    [(made, its_digest)] = added(sessions, uuid4())
    assert sessions.migrate(dry_run=True) == []
    assert sessions.migrate() == []
    assert sessions.find(its_digest, now=NOW) == made
    sessions.ping()


def test_a_dry_run_reports_what_a_run_does(tmp_path: Path) -> None:
    store = open_sessions(f"sqlite:///{tmp_path / 'new.db'}", timeout=TIMEOUT, pool=1)
    try:
        planned = store.migrate(dry_run=True)
        assert planned
        assert store.migrate(dry_run=True) == planned
        assert store.migrate() == planned
    finally:
        store.close()


def used(made: Session, seconds: int = 60, address: str | None = "203.0.113.7") -> Session:
    return replace(made, used_at=NOW + timedelta(seconds=seconds), address=address)


def test_the_last_use_is_noted(sessions: SessionStore) -> None:
    account = uuid4()
    [(first, its_digest), (other, other_digest)] = added(sessions, account, 2)
    for noted in (used(first), used(first, 120, None)):
        sessions.note_use(noted, its_digest)
        assert sessions.find(its_digest, now=NOW) == noted
        assert sessions.find(other_digest, now=NOW) == other
        assert set(sessions.of_account(account, now=NOW)) == {noted, other}
    assert sessions.end(account, first.id)
    assert sessions.find(its_digest, now=NOW) is None


def test_noting_a_use_does_not_restore_an_ended_session(sessions: SessionStore) -> None:
    account = uuid4()
    ended = added(sessions, account, 2)
    sessions.end(account, ended[0][0].id)
    sessions.end_all(account, keep=None)
    for made, its_digest in ended:
        sessions.note_use(used(made), its_digest)
        assert sessions.find(its_digest, now=NOW) is None
    sessions.note_use(used(session(account)), digest())
    assert sessions.of_account(account, now=NOW) == []


def test_noting_a_use_does_not_prolong_a_session(sessions: SessionStore) -> None:
    [(made, its_digest)] = added(sessions, uuid4())
    sessions.note_use(used(made), its_digest)
    assert sessions.find(its_digest, now=made.expires_at) is None
