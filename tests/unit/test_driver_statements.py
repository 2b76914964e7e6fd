"""Statements that are sent without SQLAlchemy's execution layer."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Engine, Executable, Integer, MetaData, Table, bindparam, create_engine, insert, select

from repositories import driver_statements
from repositories.driver_statements import Call, Direct

THINGS = Table(
    "things", MetaData(), Column("id", Integer, primary_key=True), Column("n", Integer), Column("made", Integer)
)
DEFAULTED = Table("defaulted", MetaData(), Column("id", Integer, primary_key=True), Column("n", Integer, default=7))


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{tmp_path}/file.db")
    THINGS.create(engine)
    return engine


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        (select(THINGS.c.id).where(THINGS.c.id.in_(bindparam("ids", expanding=True))), {"ids": [1]}),
        (insert(DEFAULTED), {"id": 1}),
        (insert(THINGS).returning(THINGS.c.id), [{"id": 1}, {"id": 2}]),
    ],
    ids=["a list inside the text", "a default made by Python", "rows that many values return"],
)
def test_other_statements_are_left_to_sqlalchemy(engine: Engine, statement: Executable, values: Any) -> None:
    assert Direct(engine).plan(statement, values) is None


def test_the_text_of_an_insert_names_the_columns_that_are_given(engine: Engine) -> None:
    sender, adding = Direct(engine), insert(THINGS)
    for values in ({"id": 1, "n": 5}, {"id": 2, "made": 6}):
        plan = sender.plan(adding, values)
        assert plan
        with engine.begin() as connection:
            assert sender.send(connection, [Call(plan, values)], lambda cursor: cursor.rowcount) == 1
    plan = sender.plan(adding, several := [{"id": 3}, {"id": 4}])
    assert plan
    with engine.begin() as connection:
        assert sender.send(connection, [Call(plan, several)], lambda cursor: cursor.rowcount) == 2
        assert [tuple(row) for row in connection.execute(select(THINGS).order_by(THINGS.c.id))] == [
            (1, 5, None),
            (2, None, 6),
            (3, None, None),
            (4, None, None),
        ]


def test_a_statement_is_compiled_once_for_all_pools(engine: Engine, tmp_path: Path) -> None:
    other = create_engine(f"sqlite:///{tmp_path}/other.db")
    for one in (engine, other):
        one.connect().close()
    constant = select(THINGS.c.id)
    assert Direct(engine).plan(constant, {}) is Direct(other).plan(constant, {})
    other.dialect.server_version_info = (3, 1)
    assert Direct(engine).plan(constant, {}) is not Direct(other).plan(constant, {})


def test_statements_built_for_each_call_do_not_fill_the_memory(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_statements, "MOST_PLANS", 3)
    sender = Direct(engine)
    constant = select(THINGS.c.id)
    assert sender.plan(constant, {})
    plans = [sender.plan(select(THINGS.c.n), {}) for _ in range(5)]
    assert [plan is not None for plan in plans] == [True, True, False, False, False]
    assert sender.plan(constant, {})
