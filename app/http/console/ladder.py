"""Determines the rung (docs/growing.md) of a system: the combination of engines that it runs on."""

from collections.abc import Mapping, Sequence

ROLES = ("relational", "documents", "feeds", "sessions", "cache")
_P, _R, _M, _C, _S = "postgresql", "redis", "mongodb", "cassandra", "sqlite"
RUNGS: Mapping[str, Sequence[str]] = {
    "file": (_S,) * 5,
    "PostgreSQL": (_P,) * 5,
    "+ Redis": (_P, _P, _P, _R, _R),
    "+ MongoDB": (_P, _M, _P, _R, _R),
    "+ Cassandra": (_P, _M, _C, _R, _R),
}
NAMES = {_S: "SQLite", _P: "PostgreSQL", _R: "Redis", _M: "MongoDB", _C: "Cassandra"}


def family(scheme: str) -> str:
    """The engine of a URL's scheme."""
    plain = scheme.partition("+")[0]
    return _R if plain in {"redis", "rediss", "unix"} else plain


def engine(scheme: str) -> str:
    return NAMES.get(family(scheme), scheme)


def rung(engines: Mapping[str, str]) -> str | None:
    """The rung of `engines`, the URL scheme of each role. None for another combination, which is supported too."""
    found = [family(engines[role]) for role in ROLES]
    return next((name for name, wanted in RUNGS.items() if list(wanted) == found), None)
