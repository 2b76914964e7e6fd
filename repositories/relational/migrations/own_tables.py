"""Which tables belong to the relational role: the embedded adapters of all roles may share one file."""

_OTHERS = ("documents_", "feeds_", "hot_")


def is_ours(name: str | None, kind: str, _parents: object) -> bool:
    return not (kind == "table" and name is not None and name.startswith(_OTHERS))
