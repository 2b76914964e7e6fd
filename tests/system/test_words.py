"""The private terms of earlier versions no longer occur: the code uses the field's terms."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Former term: its replacement.
FORMER = {
    "told": "published, dispatched, acknowledged",
    "untold": "in flight, not acknowledged",
    "untell": "withdraw",
    "parked": "dead-lettered",
    "lent": "leased",
    "stretch": "segment",
    "floor": "low watermark",
    "standing": "reader state",
    "worn": "stale",
    "overdrawn": "tombstone budget spent",
    "settling": "upward cursor, settlement",
    "firsts": "first pages",
    "deed": "activity",
    "laid": "assembled",
    "twin": "embedded adapter",
}
FORMS = {form: word for word in FORMER for form in (word, f"{word}s", f"{word}es")}
# Files where such a word is right, each with the reason.
ALLOWED = {
    "docs/glossary.md": "explains the nickname once",
    "repositories/relational/migrations/versions/0001_tables.py": "a migration stays as it was",
    "repositories/relational/migrations/versions/0003_feeds.py": "a migration stays as it was",
    "repositories/relational/migrations/versions/0004_dead_letters.py": "renames the columns of earlier versions",
    "repositories/relational/migrations/versions/0005_feed_activity.py": "renames the columns of earlier versions",
    "repositories/documents/embedded/schema.py": "renames the columns of earlier versions",
    "repositories/documents/mongo/events.py": "renames the fields of earlier versions",
    "repositories/documents/mongo/schema.py": "drops the index of earlier versions",
    "repositories/feeds/cassandra/migrate.py": "drops the table of earlier versions",
    "repositories/feeds/embedded/schema.py": "drops the table of earlier versions",
}
READ = ("app/**/*.py", "repositories/**/*.py", "config/**/*.py", "docs/**/*.md", "docs/*.toml", "README.md")


def former_words(text: str) -> list[str]:
    """The former terms in a text, with their lines. Parts of names count as well: `park_told`, `FLOOR`, `TwinStore`."""
    parts = (
        (number, part)
        for number, line in enumerate(text.splitlines(), 1)
        for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", line)
    )
    return [f"{n}: {part}: say {FORMER[FORMS[part.lower()]]}" for n, part in parts if part.lower() in FORMS]


@pytest.mark.parametrize("pattern", READ)
def test_no_former_term_is_left(pattern: str) -> None:
    paths = [path for path in ROOT.glob(pattern) if str(path.relative_to(ROOT)) not in ALLOWED]
    assert [f"{path}:{found}" for path in paths for found in former_words(path.read_text())] == []


def test_every_exception_is_needed() -> None:
    assert [path for path in ALLOWED if not former_words((ROOT / path).read_text())] == []


def test_words_are_found_in_names() -> None:
    assert len(former_words("self._told = TwinStore(FLOOR, deeds)\nunfloored, astounding, bold")) == 4
