"""The rungs of `docs/growing.md`: the engine of each role."""

from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from tests.apps import ROLES, embedded
from tests.contracts.relational_store import new_database
from tests.engines import Engines

# For each rung, the roles that move to its engine from the rung before.
RUNGS: Mapping[str, tuple[str, ...]] = {
    "file": (),
    "PostgreSQL": ROLES,
    "+ Redis": ("sessions", "cache"),
    "+ MongoDB": ("documents",),
    "+ Cassandra": ("feeds",),
}


def urls_of(rung: str, engines: Engines, folder: Path) -> dict[str, str]:
    """The URLs of a rung by setting, with new databases."""
    urls: dict[str, str] = {f"{role}_url": str(embedded(folder)[f"{role}_url"]) for role in ROLES}
    name = f"ladder_{uuid4().hex[:8]}"
    for step, roles in RUNGS.items():
        if step == "PostgreSQL":
            urls |= dict.fromkeys(urls, new_database(engines.postgres())) if rung != "file" else {}
        else:
            urls |= {f"{role}_url": _own(role, name, engines) for role in roles}
        if step == rung:
            return urls
    raise KeyError(rung)


def _own(role: str, name: str, engines: Engines) -> str:
    match role:
        case "documents":
            return engines.mongo().url.replace("/quartet?", f"/{name}?")
        case "feeds":
            return engines.cassandra().url.replace("/quartet", f"/{name}")
        case "sessions":
            return engines.sessions().url
        case _:
            return engines.cache().url
