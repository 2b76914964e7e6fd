"""Which writes of a process were lost by a failover of PostgreSQL, judged by their log locations."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from repositories.postgres.server_timelines import Acknowledged
from tests.engines.counted import CountingObserver, counted

__all__ = ["counted"]
HISTORY = "1\t0/78\tno recovery target specified\n"
END = 0x78


class PromotedServer:
    """The new primary: its timeline history (None if the role may not read it), and the location of its log."""

    closed = autocommit = False

    def __init__(self, history: str | None, location: int = 0) -> None:
        self._history = history
        self._location = location
        self._rows: Iterator[Any] = iter(())

    def execute(self, statement: str, *_: object, **__: object) -> "PromotedServer":
        if "history" in statement:
            if self._history is None:
                raise psycopg.errors.InsufficientPrivilege
            self._rows = iter([(self._history,)])
        else:
            self._rows = iter([(self._location,)])
        return self

    def fetchone(self) -> Any:
        return next(self._rows)


def on_the_first(*commits: int, looked: int = 0) -> Acknowledged:
    """A process with these acknowledged writes on timeline 1."""
    known: Any = Acknowledged("relational")
    known.connected(1, PromotedServer(None))
    assert all(known.committed(1, location) for location in commits)
    known.looked(1, looked)
    found: Acknowledged = known
    return found


def connected(known: Any, server: PromotedServer, timeline: int = 2) -> None:
    known.connected(timeline, server)


def test_writes_beyond_the_end_of_their_timeline_are_counted_once(counted: CountingObserver) -> None:
    known = on_the_first(END - 1, END, END + 1, END + 9)
    # Behind a pooler a commit on the new timeline is the first sign of the failover.
    assert not known.committed(2, 1)
    for _ in range(2):
        connected(known, PromotedServer(HISTORY))
    assert counted.reads == {"lost_tail": 2}
    assert [known.counted(1, location) for location in (END, END + 1, END + 9)] == [False, True, True]
    assert known.committed(2, 1)


@pytest.mark.parametrize("known", [on_the_first(), on_the_first(1, END, looked=END)], ids=["idle", "writing"])
def test_a_failover_without_loss_is_not_counted(known: Acknowledged, counted: CountingObserver) -> None:
    connected(known, PromotedServer(HISTORY))
    assert counted.reads == {}


def test_log_that_was_seen_and_is_gone_is_counted(counted: CountingObserver) -> None:
    connected(on_the_first(looked=END + 1), PromotedServer(HISTORY))
    assert counted.reads == {"lost_tail": 1}


def test_a_missing_history_is_logged(counted: CountingObserver, caplog: pytest.LogCaptureFixture) -> None:
    """Without the history all that is known is an upper bound of the old timeline's end: the new primary's location."""
    connected(on_the_first(END + 9), PromotedServer(None, location=END))
    assert counted.reads == {"lost_tail": 1}
    assert "GRANT EXECUTE" not in caplog.text
    connected(on_the_first(END + 9), PromotedServer(None, location=END + 99))
    assert counted.reads == {"lost_tail": 1}
    assert "GRANT EXECUTE" in caplog.text
