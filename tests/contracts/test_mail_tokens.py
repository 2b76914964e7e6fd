"""What every relational store promises about mailed tokens, and about verified addresses."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID, uuid4

from repositories.relational import Relational
from repositories.relational.mail_tokens_port import Purpose
from tests.contracts.relational_store import NOW, register

HOUR, MICROSECOND = timedelta(hours=1), timedelta(microseconds=1)


def put(relational: Relational, account: UUID, purpose: Purpose = "reset") -> bytes:
    digest = uuid4().bytes
    with relational.transaction() as tx:
        tx.mail_tokens.put(account, purpose, digest, expires_at=NOW + HOUR)
    return digest


def take(relational: Relational, digest: bytes, purpose: Purpose = "reset") -> UUID | None:
    with relational.transaction() as tx:
        return tx.mail_tokens.take(digest, purpose, now=NOW)


def test_a_token_names_its_owner_until_it_is_taken(relational: Relational) -> None:
    ada, bob = register(relational, 2)
    mine, theirs = put(relational, ada), put(relational, bob)
    assert [relational.mail_tokens.owner(digest, "reset", now=NOW) for digest in (mine, theirs)] == [ada, bob]
    assert [take(relational, mine), take(relational, mine)] == [ada, None]
    assert relational.mail_tokens.owner(mine, "reset", now=NOW) is None
    assert relational.mail_tokens.owner(theirs, "reset", now=NOW) == bob


def test_it_ends_at_the_very_moment(relational: Relational) -> None:
    (ada,) = register(relational)
    digest = put(relational, ada)
    for now, owner in ((NOW + HOUR - MICROSECOND, ada), (NOW + HOUR, None)):
        assert relational.mail_tokens.owner(digest, "reset", now=now) == owner
    with relational.transaction() as tx:
        assert tx.mail_tokens.take(digest, "reset", now=NOW + HOUR) is None


def test_it_is_for_one_purpose(relational: Relational) -> None:
    (ada,) = register(relational)
    reset, verify = put(relational, ada, "reset"), put(relational, ada, "verify")
    assert relational.mail_tokens.owner(reset, "verify", now=NOW) is None
    assert take(relational, reset, "verify") is None
    assert (take(relational, reset, "reset"), take(relational, verify, "verify")) == (ada, ada)


def test_the_last_one_counts(relational: Relational) -> None:
    (ada,) = register(relational)
    former, last = put(relational, ada), put(relational, ada)
    assert (take(relational, former), take(relational, last)) == (None, ada)


def test_of_two_who_take_it_one_gets_it(relational: Relational) -> None:
    (ada,) = register(relational)
    digest = put(relational, ada)
    with ThreadPoolExecutor(2) as pool:
        taken = list(pool.map(lambda _: take(relational, digest), range(2)))
    assert sorted(taken, key=str) == [ada, None] or sorted(taken, key=str) == [None, ada]


def test_a_deleted_account_has_none(relational: Relational) -> None:
    (ada,) = register(relational)
    digest = put(relational, ada)
    with relational.transaction() as tx:
        tx.accounts.delete(ada, at=NOW, if_hash="hash")
    assert take(relational, digest) is None


def test_what_has_expired_is_swept(relational: Relational) -> None:
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


def test_an_address_is_verified(relational: Relational) -> None:
    ada, bob = register(relational, 2)
    for _ in range(2):
        with relational.transaction() as tx:
            tx.accounts.verify(ada, NOW)
    logins = [relational.accounts.login_of(one) for one in (ada, bob)]
    assert [login and login.verified_at for login in logins] == [NOW, None]
