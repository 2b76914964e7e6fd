"""The adapters of a role have the same files, so that a diff of their folders shows how the engines differ."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "repositories"
ENGINES = {"relational": "postgres", "documents": "mongo", "feeds": "cassandra", "hot": "redis"}
# What only the engine has, and why the embedded adapter has nothing to compare with it.
ENGINE_ONLY = {
    "relational": {
        "positions": "how far a server's log is",
        "replicas": "which of several standbys answers a read",
    },
    "documents": {
        "client": "connections; SQLite's are in `repositories.sqlite`",
        "target": "the options of a URL",
        "monitoring": "round trips are counted by the driver's own events",
        "demotion": "which of several is the primary",
        "secondaries": "reads on other members of the replica set",
        "pull": "posts of many authors are merged here; SQLite does it in one statement, in `posts`",
    },
    "feeds": {
        "link": "connections and prepared statements; SQLite's are in `repositories.sqlite`",
        "target": "the options of a URL",
        "policies": "which of several nodes is asked",
        "contact": "which of several nodes answers",
        "bucket_markers": "which partitions are not empty; SQLite has no partitions",
        "pages": "one page over several partitions",
        "migrate": "keyspace, replication and bucket widths",
    },
    "hot": {
        "link": "connections",
        "target": "the options of a URL",
        "scripts": "what SQLite does in a transaction Redis does in a script",
        "wire": "the protocol",
        "sentinel": "which of several is the master",
        "cluster": "which of several masters has a key",
        "cluster_cache": "the cache without scripts that span several masters",
        "hash_tags": "names by hash tag",
        "near": "the copy in the process's memory; an embedded cache is in the process already",
    },
}
# What is the same for all roles of the engine, and so not in the role's folder.
NEUTRAL = {"relational": {"engine"}}  # `repositories.postgres.lane`


def files(role: str, engine: str) -> set[str]:
    return {path.stem for path in (ROOT / role / engine).glob("*.py")}


@pytest.mark.parametrize("role", ENGINES)
def test_the_embedded_adapter_has_the_files_of_the_engine(role: str) -> None:
    engine, embedded = files(role, ENGINES[role]), files(role, "embedded")
    assert embedded - engine == NEUTRAL.get(role, set())
    assert engine - embedded == set(ENGINE_ONLY[role])
