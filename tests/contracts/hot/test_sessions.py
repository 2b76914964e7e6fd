"""The contract of `SessionStore`: sessions are found as they were added."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from msgspec.structs import replace

from repositories.errors import Invalid
from repositories.hot import SessionStore, open_sessions
from repositories.records.people import Session
from tests.contracts.hot.cached_values import TIMEOUT
from tests.contracts.hot.session_records import NOW, added, digest, session

MICROSECOND = timedelta(microseconds=1)
DEVICES = [
    *(None, "", "nul \x00 inside", 'a\nb\t"quoted" \\ </script>', "x" * 5_000),
    "Gr\u00fc\u00dfe e\u0301 \U0001f469\u200d\U0001f467 \u0645\u0631\u062d\u0628\u0627 \u0130i\u0131I",
]


def test_a_session_is_found_with_the_greatest_noted_positions(sessions_url: str) -> None:
    store, plain = (
        open_sessions(sessions_url, timeout=TIMEOUT, pool=8, seen=True),
        open_sessions(sessions_url, timeout=TIMEOUT, pool=8),
    )
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


def test_an_accounts_sessions_come_newest_first_by_id(sessions: SessionStore) -> None:
    account, other = uuid4(), uuid4()
    made = [pair[0] for pair in added(sessions, account, 25)]
    added(sessions, other, 2)
    assert sessions.of_account(account, now=NOW) == sorted(made, key=lambda s: s.id, reverse=True)
    assert sessions.of_account(uuid4(), now=NOW) == []


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


def test_sessions_outlive_the_client_that_added_them(sessions_url: str, sessions: SessionStore) -> None:
    [(made, its_digest)] = added(sessions, uuid4())
    sessions.close()
    other = open_sessions(sessions_url, timeout=TIMEOUT, pool=1)
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
