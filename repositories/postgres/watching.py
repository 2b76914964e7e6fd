"""Asks a server for its state at intervals. Runs in a thread of its own."""

import contextlib
import threading
from collections.abc import Callable

import psycopg

from repositories.deadline import within
from repositories.postgres.deadline import BoundedConnection

# The most seconds that one look takes.
LONGEST = 1.0


def watch(
    connect: Callable[[], BoundedConnection],
    ask: Callable[[BoundedConnection], None],
    away: Callable[[], None],
    closed: threading.Event,
    *,
    every: Callable[[], float],
) -> None:
    """Call `ask` until `closed` is set, on a connection that is kept while it answers; when it does not, call `away`.

    `every` returns the seconds between two looks.
    """
    with contextlib.ExitStack() as open_:
        connection = None
        while not closed.is_set():
            try:
                with within(LONGEST):
                    if connection is None:
                        connection = open_.enter_context(contextlib.closing(connect()))
                    ask(connection)
            except psycopg.Error:
                away()
                open_.close()
                connection = None
            closed.wait(every())
