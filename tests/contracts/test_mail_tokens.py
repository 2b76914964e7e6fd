"""What every relational store promises about mailed tokens, and about verified addresses."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from repositories.relational import Relational
from repositories.relational.mail_tokens_port import Purpose
from tests.apps import RELATIONAL
from tests.contracts.relational_store import NOW, new_database, opened, register

HOUR, MICROSECOND = timedelta(hours=1), timedelta(microseconds=1)


@pytest.fixture(scope="module", params=RELATIONAL)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relational]:
    folder: Path = tmp_path_factory.mktemp("relational")
    url = f"sqlite:///{folder}/quartet.db"
    if request.param == "postgres":
        url = new_database(request.getfixturevalue("engines").postgres())
    with opened(url) as store:
        store.migrate()
        yield store


def put(store: Relational, account: UUID, purpose: Purpose = "reset") -> bytes:
    digest = uuid4().bytes
    with store.transaction() as tx:
        tx.mail_tokens.put(account, purpose, digest, expires_at=NOW + HOUR)
    return digest


def take(store: Relational, digest: bytes, purpose: Purpose = "reset") -> UUID | None:
    with store.transaction() as tx:
        return tx.mail_tokens.take(digest, purpose, now=NOW)


def test_a_token_names_its_owner_until_it_is_taken(store: Relational) -> None:
    ada, bob = register(store, 2)
    mine, theirs = put(store, ada), put(store, bob)
    assert [store.mail_tokens.owner(digest, "reset", now=NOW) for digest in (mine, theirs)] == [ada, bob]
    assert [take(store, mine), take(store, mine)] == [ada, None]
    assert store.mail_tokens.owner(mine, "reset", now=NOW) is None
    assert store.mail_tokens.owner(theirs, "reset", now=NOW) == bob


def test_it_ends_at_the_very_moment(store: Relational) -> None:
    (ada,) = register(store)
    digest = put(store, ada)
    for now, owner in ((NOW + HOUR - MICROSECOND, ada), (NOW + HOUR, None)):
        assert store.mail_tokens.owner(digest, "reset", now=now) == owner
    with store.transaction() as tx:
        assert tx.mail_tokens.take(digest, "reset", now=NOW + HOUR) is None


def test_it_is_for_one_purpose(store: Relational) -> None:
    (ada,) = register(store)
    reset, verify = put(store, ada, "reset"), put(store, ada, "verify")
    assert store.mail_tokens.owner(reset, "verify", now=NOW) is None
    assert take(store, reset, "verify") is None
    assert (take(store, reset, "reset"), take(store, verify, "verify")) == (ada, ada)


def test_the_last_one_counts(store: Relational) -> None:
    (ada,) = register(store)
    former, last = put(store, ada), put(store, ada)
    assert (take(store, former), take(store, last)) == (None, ada)


def test_of_two_who_take_it_one_gets_it(store: Relational) -> None:
    (ada,) = register(store)
    digest = put(store, ada)
    with ThreadPoolExecutor(2) as pool:
        taken = list(pool.map(lambda _: take(store, digest), range(2)))
    assert sorted(taken, key=str) == [ada, None] or sorted(taken, key=str) == [None, ada]


def test_a_deleted_account_has_none(store: Relational) -> None:
    (ada,) = register(store)
    digest = put(store, ada)
    with store.transaction() as tx:
        tx.accounts.delete(ada, at=NOW, if_hash="hash")
    assert take(store, digest) is None


def test_what_has_expired_is_swept(store: Relational) -> None:
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


def test_an_address_is_verified(store: Relational) -> None:
    ada, bob = register(store, 2)
    for _ in range(2):
        with store.transaction() as tx:
            tx.accounts.verify(ada, NOW)
    logins = [store.accounts.login_of(one) for one in (ada, bob)]
    assert [login and login.verified_at for login in logins] == [NOW, None]
