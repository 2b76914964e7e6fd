"""No statement and no command of the application scans a whole table or collection."""

from typing import Any
from uuid import UUID

import pytest

from repositories.documents.mongo.schema import VALIDATORS
from repositories.relational.schema.tables import metadata
from tests.system.consistency import ASKS
from tests.system.plans.conftest import RecordedStatements
from tests.system.plans.data import FEW, SMALL
from tests.system.plans.ports import METHODS, NO_QUERIES
from tests.system.plans.recording import Command, Statement
from tests.system.plans.shards import DECLARED, KEYS, asks_all, is_refused
from tests.system.plans.spread import ORDER, TABLES, global_references, global_uniques, widest

# Loading the data set takes about a minute if nothing else runs.
pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]


@pytest.mark.parametrize("method", [method for method in METHODS if method not in NO_QUERIES])
def test_a_method_of_a_port_is_served_by_indexes(asked: RecordedStatements, method: str) -> None:
    statements = [one for one in asked.statements if method in one.methods]
    commands = [one for one in asked.commands if method in one.methods]
    assert statements or commands, "it sent no statement or command: call it in tests/system/plans/exercise.py"
    faults = [fault for one in statements for fault in asked.sql.faults(one)]
    others = [fault for one in commands for fault in asked.mongo.faults(one)]
    assert not faults + others, "\n\n".join(map(str, [*faults, *others][:3]))


def test_statements_outside_of_the_ports_are_served_by_indexes(asked: RecordedStatements) -> None:
    faults = [fault for one in asked.statements if not one.methods for fault in asked.sql.faults(one)]
    others = [fault for one in asked.commands if not one.methods for fault in asked.mongo.faults(one)]
    assert not faults + others, "\n\n".join(map(str, [*faults, *others][:3]))


def test_every_table_has_enough_rows_for_realistic_plans(asked: RecordedStatements) -> None:
    few = {table for table, rows in asked.sql.rows.items() if rows <= FEW}
    assert few - {"alembic_version"} == SMALL.keys()


@pytest.mark.parametrize("method", [method for method in METHODS if method not in NO_QUERIES])
def test_a_method_requests_the_consistency_in_its_row(asked: RecordedStatements, method: str) -> None:
    levels = {one.level for one in asked.statements if method in one.methods}
    levels |= {level for one in asked.commands if method in one.methods for level in one.levels}
    assert levels - {""} == ASKS[method]


def test_methods_listed_without_queries_send_none(asked: RecordedStatements) -> None:
    assert set(METHODS) >= NO_QUERIES
    asking = [*(one.methods for one in asked.statements), *(one.methods for one in asked.commands)]
    assert NO_QUERIES.isdisjoint(method for methods in asking for method in methods)


def test_every_command_names_the_shard_key_except_the_listed_ones(asked: RecordedStatements) -> None:
    """The dump reads everything, but is not called within a method."""
    everywhere = {method for one in asked.commands if any(map(asks_all, one.seen)) for method in one.methods}
    assert everywhere == DECLARED["scatter"].keys()


def test_a_router_refuses_no_command(asked: RecordedStatements) -> None:
    refused = [one for one in asked.commands if any(map(is_refused, one.seen))]
    assert not refused, [(one.methods, one.shape) for one in refused]


def test_every_collection_and_every_table_has_its_key() -> None:
    assert VALIDATORS.keys() == KEYS.keys()
    assert {name: one["key"] in metadata.tables[name].c for name, one in TABLES.items()} == dict.fromkeys(
        metadata.tables, True
    )


def test_a_transaction_writes_rows_of_at_most_two_accounts_except_listed_ones(asked: RecordedStatements) -> None:
    """It also writes rows of at most one post and one order. Rows of other kinds are as many as the products that are
    bought.
    """
    most = {who: widest(transactions) for who, transactions in asked.spread.items()}
    assert most["Graph.follow"] == {"account": 2, "aggregate": 1}
    wide = {
        who
        for who, one in most.items()
        if one.get("account", 0) > 2 or max(one.get(kind, 0) for kind in ("post", "order")) > 1
    }
    assert wide == DECLARED["wide"].keys(), {who: most[who] for who in wide}


def test_a_transaction_that_writes_an_event_locks_the_row_that_orders_it(asked: RecordedStatements) -> None:
    """That keeps the positions of one aggregate's events in commit order, without a lock for that purpose alone."""
    driven = asked.ordered.keys() - {"t"}
    assert {kind for kind, row in ORDER.items() if row} <= driven <= ORDER.keys()
    found = {(kind, how, who) for kind, ways in asked.ordered.items() for how, who in ways if kind in ORDER}
    unheld = {one for one in found if one[1] != ("held" if ORDER[one[0]] else "no row")}
    assert unheld == {("Unfollowed", "gone", "Departures.begin")}, unheld


def test_features_that_a_cluster_would_lack_are_listed(asked: RecordedStatements) -> None:
    columns = {name: table.autoincrement_column for name, table in metadata.tables.items()}
    numbered = {name for name, one in columns.items() if one is not None and "numbered_by" not in one.info}
    others = [one.sql for one in asked.statements if any(word in one.sql for word in ("advisory", "nextval", "setval"))]
    assert (numbered, asked.sql.sequences, others) == (set(), [], [])
    assert global_uniques() == set(DECLARED["global"]["uniques"])
    assert global_references() == set(DECLARED["global"]["foreign_keys"])


SCANS = ("SELECT * FROM accounts WHERE bio = %(bio)s", "UPDATE stock SET sold = 0 WHERE on_hand = %(bio)s")
SORTS = "SELECT * FROM likes WHERE post_id = ANY (SELECT post_id FROM post_counters) ORDER BY at"
COMMANDS: dict[str, dict[str, Any]] = {
    "a scan": {"find": "posts", "filter": {"title": "a"}},
    "a scan of little": {"delete": "tags", "deletes": [{"q": {"name": "a"}, "limit": 0}]},
    "a sort": {"find": "posts", "filter": {"author_id": {"$gte": UUID(int=0)}}, "sort": {"title": 1}},
    "a look-up": {
        "aggregate": "tags",
        "pipeline": [
            {"$match": {"_id": {"$gt": ""}}},
            {"$lookup": {"from": "products", "localField": "_id", "foreignField": "title", "as": "found"}},
        ],
        "cursor": {},
    },
}


@pytest.mark.parametrize("sql", [*SCANS, SORTS])
def test_a_statement_without_an_index_is_found(asked: RecordedStatements, sql: str) -> None:
    statement = Statement((), sql)
    statement.values.append({"bio": "7"})
    assert list(asked.sql.faults(statement))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_without_an_index_is_found(asked: RecordedStatements, name: str) -> None:
    command = Command((), name)
    command.seen.append(COMMANDS[name])
    assert list(asked.mongo.faults(command))
