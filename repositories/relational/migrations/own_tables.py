"""Which tables belong to the relational role: all roles may share one database, and moves have tables of their own."""

_OTHERS = ("documents_", "feeds_", "hot_", "moving_")


def is_ours(name: str | None, kind: str, _parents: object) -> bool:
    return not (kind == "table" and name is not None and name.startswith(_OTHERS))
