"""Tells the relational role's tables from those of other roles in the same database, and from those of moves."""

_OTHERS = ("documents_", "feeds_", "hot_", "moving_")


def is_ours(name: str | None, kind: str, _parents: object) -> bool:
    return not (kind == "table" and name is not None and name.startswith(_OTHERS))
