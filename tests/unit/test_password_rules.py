"""Passwords that are refused because they are among the first that an attacker would try."""

import pytest

from app.services.people.password_rules import fault, normal, words
from app.services.people.passwords import Argon2Hasher

CONTEXT = words("ada_lovelace", "countess@analytical.example", "Ada King")
REFUSED = [
    "password",
    "12345678",
    "PassWord",
    "iloveyou",
    "aaaaaaaaaaaa",
    "abababababab",
    "\uff50\uff41\uff53\uff53\uff57\uff4f\uff52\uff44",
    "ada_lovelace",
    "Ada_Lovelace1815!",
    "lovelace",
    "adalovelace",
    "lovelacelovelace",
    "ada.lovelace",
    "countess2026",
    "countess@analytical.example",
    "analytical",
    "AdaKing1",
    "quartet1",
    "Quartet!2026",
    "quartetquartet",
]
TAKEN = ["correct horse battery staple", "long enough", "quartets of Haydn", "lovelace was first", "пароль для входа"]


@pytest.mark.parametrize("password", REFUSED)
def test_common_and_guessable_passwords_are_refused(password: str) -> None:
    assert fault(password, CONTEXT)


@pytest.mark.parametrize("password", TAKEN)
def test_other_passwords_are_accepted(password: str) -> None:
    assert fault(password, CONTEXT) is None


def test_an_account_without_letters_excludes_no_password() -> None:
    assert fault("correct horse", words("123", "1@2.3", "…")) is None


def test_unicode_forms_of_a_password_are_equal() -> None:
    hasher = Argon2Hasher(1)
    composed, decomposed = "caf\u00e9 \ufb01nal", "cafe\u0301 final"
    assert normal(composed) == normal(decomposed)
    assert hasher.verify(hasher.hash(composed), decomposed)
