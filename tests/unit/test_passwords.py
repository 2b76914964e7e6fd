"""The real password hasher: parameters, answers, and its limit on concurrent hashes."""

import threading

import pytest

from app.errors import Overloaded
from app.services.people import passwords
from app.services.people.passwords import Argon2Hasher


def test_a_hash_has_the_stated_parameters_and_a_salt() -> None:
    hasher = Argon2Hasher(2)
    one, other = hasher.hash("secret word"), hasher.hash("secret word")
    assert one.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert one != other
    assert hasher.verify(one, "secret word")
    assert not hasher.verify(one, "secret work")


def test_an_unknown_account_accepts_no_password() -> None:
    assert not Argon2Hasher(1).verify(None, "no account has this password")


def test_a_hash_without_a_slot_is_overloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "WAIT_SECONDS", 0.01)
    hasher = Argon2Hasher(1)
    inside, leave = threading.Event(), threading.Event()

    def occupy() -> None:
        with hasher._place():
            inside.set()
            leave.wait()

    thread = threading.Thread(target=occupy)
    thread.start()
    inside.wait()
    with pytest.raises(Overloaded):
        hasher.hash("x")
    leave.set()
    thread.join()
    assert hasher.hash("x")
