"""The adapters of a role have the same file names, so that a diff of their folders shows how the engines differ.

The common part of the SQL databases is in a folder `sql`, whose files count for each of their adapters.
"""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "repositories"
ENGINES = (
    ("relational", "postgres"),
    ("documents", "mongo"),
    ("documents", "postgres"),
    ("feeds", "cassandra"),
    ("feeds", "postgres"),
    ("hot", "redis"),
    ("hot", "postgres"),
)
# Modules that only the engine's adapter has, with their purpose, for which the embedded adapter has no counterpart.
ENGINE_ONLY = {
    ("relational", "postgres"): {
        "positions": "how far a server's log is",
        "replicas": "which of several standbys answers a read",
    },
    ("documents", "mongo"): {
        "client": "connections; SQLite's are in `repositories.sqlite`",
        "errors": "what the driver's mean, which `repositories.sqlite` says of SQLite's",
        "target": "the options of a URL",
        "monitoring": "round trips are counted by the driver's own events",
        "explaining": "plans of slow commands; those of SQL are in `repositories.explaining`",
        "demotion": "which of several is the primary",
        "secondaries": "reads on other members of the replica set",
        "sharding": "the shard keys that every command names",
        "observing": "statistics of the server; those of SQL's are in the folders `postgres` and `sqlite`",
        "pull": "posts of many authors are merged here; SQLite does it in one statement, in `posts`",
    },
    ("documents", "postgres"): {},
    ("feeds", "postgres"): {
        "partitions": "what is past the retention goes with its partition; SQLite deletes the rows",
    },
    ("feeds", "cassandra"): {
        "link": "connections and prepared statements; SQLite's are in `repositories.sqlite`",
        "errors": "what the driver's mean, as above",
        "batches": "one mutation for the rows of a partition; SQLite has transactions",
        "lazy_value": "a session takes seconds to connect, and is awaited by all; a file is opened at once",
        "target": "the options of a URL",
        "policies": "which of several nodes is asked",
        "contact": "which of several nodes answers",
        "bucket_markers": "which partitions are not empty; SQLite has no partitions",
        "pages": "one page over several partitions",
        "observing": "statistics of the nodes, as above",
        "moving_gate": "what triggers do in a database of SQL",
        "moving_mark": "mark and triggers are changed in one transaction of SQL",
        "moved_rows": "rows by ranges of the ring",
        "migrate": "keyspace, replication and bucket widths",
    },
    ("hot", "postgres"): {
        "database": "connections; SQLite's are in `repositories.sqlite`",
        "cache_statements": "what SQLite does key by key in a transaction is one statement here",
        "wakes": "who waits for live events is woken; a file tells nobody",
    },
    ("hot", "redis"): {
        "link": "connections",
        "store": "what all its stores have in common; of SQL's that is in `repositories.sql`",
        "target": "the options of a URL",
        "observing": "statistics of the server, as above",
        "cache_scripts": "what SQLite does in a transaction Redis does in a script",
        "session_scripts": "as above",
        "session_recovery": "what a failover may have brought back; an embedded store has none",
        "moving_scripts": "what triggers do in a database of SQL",
        "wire": "the protocol",
        "sentinel": "which of several is the master",
        "cluster": "which of several masters has a key",
        "cluster_cache": "the cache without scripts that span several masters",
        "hash_tags": "names by hash tag",
        "key_names": "a move reads keys by prefix; SQL reads rows",
        "recent_sign_ins": "what a failover may have lost; an embedded store has none",
        "read_leases": "the copy in the process's memory; an embedded cache is in the process already",
    },
}
# Modules that only the embedded adapter or its role's folder `sql` has.
EMBEDDED_ONLY = {
    ("documents", "mongo"): {"indexes"},  # SQL indexes; MongoDB's are declared with its collections
    ("relational", "postgres"): {"engine"},  # PostgreSQL's is `repositories.postgres.pools`, common to all roles
    ("feeds", "cassandra"): {"database", "statements"},  # of SQL
    ("hot", "redis"): {"schema"},  # Redis has none
}


def files(role: str, engine: str) -> set[str]:
    """The modules of an adapter; for an SQL database including those of the role's folder `sql`."""
    folders = [engine, "sql"] if engine in ("embedded", "postgres") else [engine]
    return {path.stem for folder in folders for path in (ROOT / role / folder).glob("*.py")}


@pytest.mark.parametrize(("role", "engine"), ENGINES)
def test_the_embedded_adapter_has_the_files_of_the_engine(role: str, engine: str) -> None:
    found, embedded = files(role, engine), files(role, "embedded")
    assert embedded - found == EMBEDDED_ONLY.get((role, engine), set())
    assert found - embedded == set(ENGINE_ONLY[role, engine])
