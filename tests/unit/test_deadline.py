"""Nested deadlines."""

from contextvars import copy_context
from threading import Thread

import psycopg
import pytest

from repositories.deadline import at_most, remaining, within
from repositories.postgres.deadline import BoundedConnection

FAR = 1e6


def test_an_inner_block_ends_no_later_than_the_outer_one() -> None:
    assert remaining(FAR) == at_most(FAR) == FAR
    with within(100):
        with within(FAR):
            assert remaining(FAR) <= 100
        with within(10):
            assert at_most(5) == 5
            assert at_most(50) <= 10
        assert 10 < remaining(FAR) <= 100
    assert remaining(FAR) == FAR


def test_a_passed_deadline_leaves_no_time() -> None:
    with within(-1):
        assert remaining(FAR) == at_most(FAR) == 0
        with within(5):
            assert remaining(FAR) == 0


def test_time_beyond_the_deadline_is_counted_from_the_deadline() -> None:
    assert remaining(FAR, 0.5) == FAR + 0.5
    with within(10):
        assert 10 < remaining(FAR, 0.5) <= 10.5
    with within(-0.4):
        assert 0 < remaining(FAR, 0.5) <= 0.1
    with within(-1):
        assert remaining(FAR, 0.5) == 0


def test_calls_of_postgresql_share_the_time_beyond_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time beyond the deadline, for a rollback and for returning a key, is shared: each call gets what is left."""
    waited: list[float] = []
    monkeypatch.setattr(psycopg.Connection, "wait", lambda _self, _gen, _interval, timeout: waited.append(timeout))
    connection = BoundedConnection.__new__(BoundedConnection)
    for over in (0.0, -1.0, -2.0):
        with within(over):
            connection.wait(iter(()))  # type: ignore[arg-type]  # nothing is waited for
    assert 0 < waited[0] <= 0.05
    assert waited[1:] == [0.001, 0.001]


def test_another_thread_has_the_deadline_only_with_the_context() -> None:
    found: list[float] = []
    with within(100):
        for run in (lambda note: note(), copy_context().run):
            thread = Thread(target=run, args=(lambda: found.append(remaining(FAR)),))
            thread.start()
            thread.join()
    assert found[0] == FAR
    assert found[1] <= 100
