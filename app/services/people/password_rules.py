"""Passwords that are refused whatever their length (NIST SP 800-63B-4, section 3.1.1.2).

They are those that an attacker tries first: the most frequent passwords, and words from the account's context.
There are no rules about characters. Passwords are compared and hashed in Unicode form NFKC, since another keyboard may
produce other code points for the same characters.
"""

import functools
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from app.errors import Unprocessable

FREQUENT = Path(__file__).with_name("common_passwords.txt")
SERVICE = "quartet"
FEWEST_CHARACTERS = 3
COMMON = "This password is one of the most common ones."
MONOTONOUS = f"This password has fewer than {FEWEST_CHARACTERS} different characters."
OWN = "This password consists of a name or an address of the account, or of the name of this service."
LETTERS = re.compile(r"[\W\d_]+")


def normal(password: str) -> str:
    return unicodedata.normalize("NFKC", password)


def fault(password: str, context: Iterable[str]) -> str | None:
    """The fault of a password, as a message for users, or None. `context` are words of the account."""
    folded = normal(password).casefold()
    if len(set(folded)) < FEWEST_CHARACTERS:
        return MONOTONOUS
    if folded in _frequent():
        return COMMON
    own = {normal(word).casefold() for word in (SERVICE, *context)} - {""}
    bare = _bare(folded)
    if folded in own or any(bare and _repeats(bare, _bare(word)) for word in own):
        return OWN
    return None


def check(password: str, context: Iterable[str], pointer: str) -> None:
    """Raises `Unprocessable` for a password easy to guess. `pointer` is its JSON pointer in the payload."""
    wrong = fault(password, context)
    if wrong:
        raise Unprocessable("the password is easy to guess", {pointer: wrong}, code="password_too_common")


def words(handle: str, email: str, display_name: str) -> list[str]:
    """The context of an account: its names and its e-mail address, whole and in parts."""
    local, _, domain = email.partition("@")
    return [handle, *handle.split("_"), email, local, domain, domain.partition(".")[0], display_name]


def _bare(word: str) -> str:
    """The letters of a word, since digits and signs around or between them do not make it harder to guess."""
    return LETTERS.sub("", word)


def _repeats(bare: str, word: str) -> bool:
    return bool(word) and bare == word * (len(bare) // len(word))


@functools.cache
def _frequent() -> frozenset[str]:
    return frozenset(line for line in FREQUENT.read_text(encoding="utf-8").splitlines() if not line.startswith("# "))
