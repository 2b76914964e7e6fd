"""Reads figures from stores in background threads, so that no scrape waits long for a slow store."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")
FRESH_SECONDS = 5.0
PATIENCE_SECONDS = 0.25
# Longer than the timeout of any store.
LATEST_SECONDS = 3.0


class Asked(NamedTuple, Generic[T]):
    """A question that was asked at `at` (monotonic seconds). `before` is the answer to the previous one."""

    at: float
    answer: Future[T]
    before: T | None


class Background(Generic[T]):
    """Asks questions by name, one thread each. Answers are reused for `FRESH_SECONDS`.

    A store that does not answer delays a scrape by at most `PATIENCE_SECONDS`.
    """

    def __init__(self, questions: Mapping[str, Callable[[], T]]) -> None:
        self._questions = dict(questions)
        self._guard = Lock()
        self._readers: ThreadPoolExecutor | None = None
        self._asked: dict[str, Asked[T]] = {}

    def answers(self) -> dict[str, T | None]:
        """The answer to each question, by name.

        While a question is unanswered, the previous answer is used for `LATEST_SECONDS`, then None.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        asked = [(name, self._ask(name)) for name in self._questions]
        return {name: _answer(question, deadline) for name, question in asked}

    def _ask(self, name: str) -> Asked[T]:
        """The current question, or a new one if its answer is old. At most one of each name runs at a time."""
        with self._guard:
            now = time.monotonic()
            asked = self._asked.get(name)
            if asked is None or (asked.answer.done() and now - asked.at > FRESH_SECONDS):
                self._readers = self._readers or ThreadPoolExecutor(len(self._questions), "metrics")
                before = asked and asked.answer.result()
                asked = self._asked[name] = Asked(now, self._readers.submit(self._questions[name]), before)
            return asked


def _answer(asked: Asked[T], deadline: float) -> T | None:
    try:
        return asked.answer.result(max(0.0, deadline - time.monotonic()))
    except TimeoutError:
        return asked.before if time.monotonic() - asked.at < LATEST_SECONDS else None
