"""Passwords that are refused because they are among the first that an attacker would try."""

import pytest

from app.services.people.password_rules import COMMON, MONOTONOUS, OWN, fault, normal, words
from app.services.people.passwords import Argon2Hasher

CONTEXT = words("ada_lovelace", "countess@analytical.example", "Ada King")
REFUSED = {
    "password": COMMON,
    "12345678": COMMON,
    "PassWord": COMMON,
    "iloveyou": COMMON,
    "\uff50\uff41\uff53\uff53\uff57\uff4f\uff52\uff44": COMMON,
    "aaaaaaaa": MONOTONOUS,
    "aaaaaaaaaaaa": MONOTONOUS,
    "abababababab": MONOTONOUS,
    "xzxxzzxzxxxz": MONOTONOUS,
    "ada_lovelace": OWN,
    "Ada_Lovelace1815!": OWN,
    "lovelace": OWN,
    "adalovelace": OWN,
    "lovelacelovelace": OWN,
    "ada.lovelace": OWN,
    "countess2026": OWN,
    "countess@analytical.example": OWN,
    "analytical": OWN,
    "AdaKing1": OWN,
    "quartet1": OWN,
    "Quartet!2026": OWN,
    "quartetquartet": OWN,
}
TAKEN = ["correct horse battery staple", "long enough", "quartets of Haydn", "lovelace was first", "пароль для входа"]


@pytest.mark.parametrize(("password", "reason"), REFUSED.items())
def test_common_and_guessable_passwords_are_refused_with_the_reason(password: str, reason: str) -> None:
    assert fault(password, CONTEXT) == reason


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
