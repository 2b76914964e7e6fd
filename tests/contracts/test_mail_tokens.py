"""The contract of the relational store: mailed tokens and verified addresses."""

import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any, get_args
from uuid import UUID, uuid4

import pytest

from repositories.errors import Stale
from repositories.records import Login
from repositories.relational import RelationalStore, Transaction
from repositories.relational.mail_tokens_port import Purpose
from tests.contracts.relational_store import NOW, register

HOUR, MICROSECOND = timedelta(hours=1), timedelta(microseconds=1)


def put(relational: RelationalStore, account: UUID, purpose: Purpose = "reset") -> bytes:
    digest, login = uuid4().bytes, relational.accounts.login_of(account)
    assert login
    with relational.transaction() as tx:
        tx.mail_tokens.put(login, purpose, digest, expires_at=NOW + HOUR)
    return digest


def take(relational: RelationalStore, digest: bytes, purpose: Purpose = "reset") -> UUID | None:
    with relational.transaction() as tx:
        return tx.mail_tokens.take(digest, purpose, now=NOW)


def test_a_token_names_its_owner_until_it_is_taken(relational: RelationalStore) -> None:
    ada, bob = register(relational, 2)
    mine, theirs = put(relational, ada), put(relational, bob)
    assert [relational.mail_tokens.owner(digest, "reset", now=NOW) for digest in (mine, theirs)] == [ada, bob]
    assert [take(relational, mine), take(relational, mine)] == [ada, None]
    assert relational.mail_tokens.owner(mine, "reset", now=NOW) is None
    assert relational.mail_tokens.owner(theirs, "reset", now=NOW) == bob


def test_a_token_expires_at_the_exact_time(relational: RelationalStore) -> None:
    (ada,) = register(relational)
    digest = put(relational, ada)
    for now, owner in ((NOW + HOUR - MICROSECOND, ada), (NOW + HOUR, None)):
        assert relational.mail_tokens.owner(digest, "reset", now=now) == owner
    with relational.transaction() as tx:
        assert tx.mail_tokens.take(digest, "reset", now=NOW + HOUR) is None


def test_a_token_is_for_one_purpose(relational: RelationalStore) -> None:
    (ada,) = register(relational)
    reset, verify = put(relational, ada, "reset"), put(relational, ada, "verify")
    assert relational.mail_tokens.owner(reset, "verify", now=NOW) is None
    assert take(relational, reset, "verify") is None
    assert (take(relational, reset, "reset"), take(relational, verify, "verify")) == (ada, ada)


def test_only_the_last_token_counts(relational: RelationalStore) -> None:
    (ada,) = register(relational)
    former, last = put(relational, ada), put(relational, ada)
    assert (take(relational, former), take(relational, last)) == (None, ada)


def test_one_of_two_concurrent_takes_gets_it(relational: RelationalStore) -> None:
    (ada,) = register(relational)
    digest = put(relational, ada)
    with ThreadPoolExecutor(2) as pool:
        taken = list(pool.map(lambda _: take(relational, digest), range(2)))
    assert sorted(taken, key=str) == [ada, None] or sorted(taken, key=str) == [None, ada]


CHANGES: dict[str, Callable[[Transaction, UUID], None]] = {
    "password": lambda tx, account: tx.accounts.set_password(account, "other", if_hash="hash"),
    "address": lambda tx, account: tx.accounts.set_email(account, f"{account}@other.example", if_hash="hash"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_tokens_end_when_the_login_changes(relational: RelationalStore, change: str) -> None:
    ada, bob = register(relational, 2)
    tokens = {purpose: put(relational, ada, purpose) for purpose in get_args(Purpose)}
    theirs, before = put(relational, bob), relational.accounts.login_of(ada)
    assert before
    with relational.transaction() as tx:
        CHANGES[change](tx, ada)
    for purpose, digest in tokens.items():
        assert relational.mail_tokens.owner(digest, purpose, now=NOW) is None
        assert take(relational, digest, purpose) is None
    with pytest.raises(Stale), relational.transaction() as tx:
        tx.mail_tokens.put(before, "reset", uuid4().bytes, expires_at=NOW + HOUR)
    assert (take(relational, put(relational, ada)), take(relational, theirs)) == (ada, bob)


@pytest.mark.parametrize("change", CHANGES)
def test_no_token_outlives_a_concurrent_change(relational: RelationalStore, change: str) -> None:
    """A token is made or taken while the login changes, in either order."""
    for _ in range(8):
        (ada,) = register(relational)
        before = relational.accounts.login_of(ada)
        assert before
        made, taken = uuid4().bytes, put(relational, ada, "verify")

        def make(before: Login = before, made: bytes = made) -> None:
            with contextlib.suppress(Stale), relational.transaction() as tx:
                tx.mail_tokens.put(before, "reset", made, expires_at=NOW + HOUR)

        def changed(account: UUID = ada) -> None:
            with relational.transaction() as tx:
                CHANGES[change](tx, account)

        with ThreadPoolExecutor(3) as pool:
            work: list[Future[Any]] = [
                pool.submit(make),
                pool.submit(changed),
                pool.submit(take, relational, taken, "verify"),
            ]
        assert [done.exception() for done in work] == [None] * 3
        assert relational.mail_tokens.owner(made, "reset", now=NOW) is None


def test_a_deleted_account_has_none(relational: RelationalStore) -> None:
    (ada,) = register(relational)
    digest = put(relational, ada)
    with relational.transaction() as tx:
        tx.accounts.delete(ada, at=NOW, if_hash="hash")
    assert take(relational, digest) is None


def test_expired_tokens_are_removed(relational: RelationalStore) -> None:
    accounts = register(relational, 3)
    digests = [put(relational, account) for account in accounts]
    with relational.transaction() as tx:
        tx.mail_tokens.sweep(before=NOW, limit=99)
    assert relational.mail_tokens.owner(digests[0], "reset", now=NOW) == accounts[0]
    swept = []
    for _ in range(2):
        with relational.transaction() as tx:
            swept.append(tx.mail_tokens.sweep(before=NOW + HOUR, limit=2))
    assert swept[0] == 2
    with relational.transaction() as tx:
        tx.mail_tokens.sweep(before=NOW + HOUR, limit=99)
        assert tx.mail_tokens.sweep(before=NOW + HOUR, limit=99) == 0
    assert [relational.mail_tokens.owner(digest, "reset", now=NOW) for digest in digests] == [None] * 3


def test_an_address_is_verified(relational: RelationalStore) -> None:
    ada, bob = register(relational, 2)
    for _ in range(2):
        with relational.transaction() as tx:
            tx.accounts.verify(ada, NOW)
    logins = [relational.accounts.login_of(one) for one in (ada, bob)]
    assert [login and login.verified_at for login in logins] == [NOW, None]
