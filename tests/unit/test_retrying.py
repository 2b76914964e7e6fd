"""Bounded retries with full jitter."""

import pytest

from app.services.commands.retrying import Retry
from repositories.errors import Contention, Unavailable


class FailingCommand:
    """A command that fails this many times, and then succeeds."""

    def __init__(self, times: int, error: Exception | None = None) -> None:
        self.left = times
        self.calls = 0
        self.error = error or Contention("lost")

    def __call__(self) -> str:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise self.error
        return "won"


def test_a_contended_command_succeeds_in_the_end() -> None:
    pauses: list[float] = []
    command = FailingCommand(3)
    retry = Retry(attempts=5, base=0.01, longest=0.05, sleep=pauses.append, draw=lambda: 1.0, elapsed=lambda: 0.0)
    assert retry(command) == "won"
    assert pauses == [0.02, 0.04, 0.05]


def test_the_pause_is_drawn_from_zero_up() -> None:
    pauses: list[float] = []
    Retry(sleep=pauses.append, draw=lambda: 0.0, elapsed=lambda: 0.0)(FailingCommand(2))
    assert pauses == [0.0, 0.0]


def test_attempts_are_bounded() -> None:
    command = FailingCommand(99)
    with pytest.raises(Contention):
        Retry(attempts=4, sleep=lambda _: None, elapsed=lambda: 0.0)(command)
    assert command.calls == 4


def test_time_is_bounded() -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds + 0.4

    command = FailingCommand(99)
    with pytest.raises(Contention):
        Retry(attempts=99, seconds=1.0, sleep=sleep, elapsed=lambda: now[0])(command)
    assert now[0] < 1.5
    assert command.calls == 4


def test_other_errors_are_not_retried() -> None:
    command = FailingCommand(1, Unavailable("relational"))
    with pytest.raises(Unavailable):
        Retry(sleep=lambda _: None)(command)
    assert command.calls == 1
