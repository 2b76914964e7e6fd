"""The contract of the relational store: mailed tokens and verified addresses."""

import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any, get_args
from uuid import UUID, uuid4

import pytest

from repositories.errors import Stale
from repositories.records.people import Login
from repositories.relational import RelationalStore, Transaction
from repositories.relational.mail_tokens_port import Purpose
from tests.contracts.relational_store import NOW, register

HOUR, MICROSECOND = timedelta(hours=1), timedelta(microseconds=1)


def put(store: RelationalStore, account: UUID, purpose: Purpose = "reset") -> bytes:
    digest, login = uuid4().bytes, store.accounts.login_of(account)
    assert login
    with store.transaction() as tx:
        tx.mail_tokens.put(login, purpose, digest, expires_at=NOW + HOUR)
    return digest


def take(store: RelationalStore, digest: bytes, purpose: Purpose = "reset") -> UUID | None:
    with store.transaction() as tx:
        return tx.mail_tokens.take(digest, purpose, now=NOW)


def test_a_token_names_its_owner_until_it_is_taken(store: RelationalStore) -> None:
    ada, bob = register(store, 2)
    mine, theirs = put(store, ada), put(store, bob)
    assert [store.mail_tokens.owner(digest, "reset", now=NOW) for digest in (mine, theirs)] == [ada, bob]
    assert [take(store, mine), take(store, mine)] == [ada, None]
    assert store.mail_tokens.owner(mine, "reset", now=NOW) is None
    assert store.mail_tokens.owner(theirs, "reset", now=NOW) == bob


def test_a_token_expires_at_the_exact_time(store: RelationalStore) -> None:
    (ada,) = register(store)
    digest = put(store, ada)
    for now, owner in ((NOW + HOUR - MICROSECOND, ada), (NOW + HOUR, None)):
        assert store.mail_tokens.owner(digest, "reset", now=now) == owner
    with store.transaction() as tx:
        assert tx.mail_tokens.take(digest, "reset", now=NOW + HOUR) is None


def test_a_token_is_for_one_purpose(store: RelationalStore) -> None:
    (ada,) = register(store)
    reset, verify = put(store, ada, "reset"), put(store, ada, "verify")
    assert store.mail_tokens.owner(reset, "verify", now=NOW) is None
    assert take(store, reset, "verify") is None
    assert (take(store, reset, "reset"), take(store, verify, "verify")) == (ada, ada)


def test_only_the_last_token_counts(store: RelationalStore) -> None:
    (ada,) = register(store)
    former, last = put(store, ada), put(store, ada)
    assert (take(store, former), take(store, last)) == (None, ada)


def test_one_of_two_concurrent_takes_gets_it(store: RelationalStore) -> None:
    (ada,) = register(store)
    digest = put(store, ada)
    with ThreadPoolExecutor(2) as pool:
        taken = list(pool.map(lambda _: take(store, digest), range(2)))
    assert sorted(taken, key=str) == [ada, None] or sorted(taken, key=str) == [None, ada]


CHANGES: dict[str, Callable[[Transaction, UUID], None]] = {
    "password": lambda tx, account: tx.accounts.set_password(account, "other", if_hash="hash"),
    "address": lambda tx, account: tx.accounts.set_email(account, f"{account}@other.example", if_hash="hash"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_tokens_end_when_the_login_changes(store: RelationalStore, change: str) -> None:
    ada, bob = register(store, 2)
    tokens = {purpose: put(store, ada, purpose) for purpose in get_args(Purpose)}
    theirs, before = put(store, bob), store.accounts.login_of(ada)
    assert before
    with store.transaction() as tx:
        CHANGES[change](tx, ada)
    for purpose, digest in tokens.items():
        assert store.mail_tokens.owner(digest, purpose, now=NOW) is None
        assert take(store, digest, purpose) is None
    with pytest.raises(Stale), store.transaction() as tx:
        tx.mail_tokens.put(before, "reset", uuid4().bytes, expires_at=NOW + HOUR)
    assert (take(store, put(store, ada)), take(store, theirs)) == (ada, bob)


@pytest.mark.parametrize("change", CHANGES)
def test_no_token_outlives_a_concurrent_change(store: RelationalStore, change: str) -> None:
    """A token is made or taken while the login changes, in either order."""
    for _ in range(8):
        (ada,) = register(store)
        before = store.accounts.login_of(ada)
        assert before
        made, taken = uuid4().bytes, put(store, ada, "verify")

        def make(before: Login = before, made: bytes = made) -> None:
            with contextlib.suppress(Stale), store.transaction() as tx:
                tx.mail_tokens.put(before, "reset", made, expires_at=NOW + HOUR)

        def changed(account: UUID = ada) -> None:
            with store.transaction() as tx:
                CHANGES[change](tx, account)

        with ThreadPoolExecutor(3) as pool:
            work: list[Future[Any]] = [
                pool.submit(make),
                pool.submit(changed),
                pool.submit(take, store, taken, "verify"),
            ]
        assert [done.exception() for done in work] == [None] * 3
        assert store.mail_tokens.owner(made, "reset", now=NOW) is None


def test_a_deleted_account_has_none(store: RelationalStore) -> None:
    (ada,) = register(store)
    digest = put(store, ada)
    with store.transaction() as tx:
        tx.accounts.delete(ada, at=NOW, if_hash="hash")
    assert take(store, digest) is None


def test_expired_tokens_are_removed(store: RelationalStore) -> None:
    accounts = register(store, 3)
    digests = [put(store, account) for account in accounts]
    with store.transaction() as tx:
        tx.mail_tokens.sweep(before=NOW, limit=99)
    assert store.mail_tokens.owner(digests[0], "reset", now=NOW) == accounts[0]
    swept = []
    for _ in range(2):
        with store.transaction() as tx:
            swept.append(tx.mail_tokens.sweep(before=NOW + HOUR, limit=2))
    assert swept[0] == 2
    with store.transaction() as tx:
        tx.mail_tokens.sweep(before=NOW + HOUR, limit=99)
        assert tx.mail_tokens.sweep(before=NOW + HOUR, limit=99) == 0
    assert [store.mail_tokens.owner(digest, "reset", now=NOW) for digest in digests] == [None] * 3


def test_an_address_is_verified(store: RelationalStore) -> None:
    ada, bob = register(store, 2)
    for _ in range(2):
        with store.transaction() as tx:
            tx.accounts.verify(ada, NOW)
    logins = [store.accounts.login_of(one) for one in (ada, bob)]
    assert [login and login.verified_at for login in logins] == [NOW, None]
