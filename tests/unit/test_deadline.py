"""Deadlines within deadlines."""

from contextvars import copy_context
from threading import Thread

from repositories.deadline import at_most, remaining, within

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


def test_a_deadline_that_is_over_leaves_nothing() -> None:
    with within(-1):
        assert remaining(FAR) == at_most(FAR) == 0
        with within(5):
            assert remaining(FAR) == 0


def test_another_thread_has_it_with_the_context() -> None:
    found: list[float] = []
    with within(100):
        for run in (lambda note: note(), copy_context().run):
            thread = Thread(target=run, args=(lambda: found.append(remaining(FAR)),))
            thread.start()
            thread.join()
    assert found[0] == FAR
    assert found[1] <= 100
