"""Which passwords are refused, whatever their length (NIST SP 800-63B-4, section 3.1.1.2).

Those that are tried first: the most frequent ones, and words that the context gives away. Nothing is asked of the
characters. Passwords are compared, and hashed, in Unicode form NFKC, so that another keyboard types the same one.
"""

import functools
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from app.errors import Unprocessable

FREQUENT = Path(__file__).with_name("common_passwords.txt")
SERVICE = "quartet"
LETTERS = re.compile(r"[\W\d_]+")


def normal(password: str) -> str:
    return unicodedata.normalize("NFKC", password)


def fault(password: str, context: Iterable[str]) -> str | None:
    """What is wrong with a password, for people; `context` are words that belong to its account."""
    folded = normal(password).casefold()
    if folded in _frequent() or len(set(folded)) < 3:
        return "This password is among the first that are tried."
    own = {normal(word).casefold() for word in (SERVICE, *context)} - {""}
    bare = _bare(folded)
    if folded in own or any(bare and _repeats(bare, _bare(word)) for word in own):
        return "This password is a word that belongs to the account, or to this service."
    return None


def check(password: str, context: Iterable[str], pointer: str) -> None:
    """Raises `Unprocessable` for a password easy to guess, at this JSON pointer of the payload."""
    wrong = fault(password, context)
    if wrong:
        raise Unprocessable("the password is easy to guess", {pointer: wrong}, code="password_too_common")


def words(handle: str, email: str, display_name: str) -> list[str]:
    """What is known of an account: its names, whole and in parts."""
    local, _, domain = email.partition("@")
    return [handle, *handle.split("_"), email, local, domain, domain.partition(".")[0], display_name]


def _bare(word: str) -> str:
    """Its letters: digits and signs around and between them make no other word of it."""
    return LETTERS.sub("", word)


def _repeats(bare: str, word: str) -> bool:
    return bool(word) and bare == word * (len(bare) // len(word))


@functools.cache
def _frequent() -> frozenset[str]:
    return frozenset(line for line in FREQUENT.read_text(encoding="utf-8").splitlines() if not line.startswith("# "))
