"""The contract of `SessionStore`: sessions expire, and are ended."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from repositories.hot import SessionStore
from repositories.records.people import Session
from tests.contracts.hot.session_records import NOW, added, digest, session

MICROSECOND = timedelta(microseconds=1)
LAST = datetime.max.replace(tzinfo=UTC)


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
