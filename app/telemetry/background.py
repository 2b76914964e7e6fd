"""Questions to stores that a scrape asks, answered in the background, so that no scrape waits long for any of them."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")
FRESH_SECONDS = 5.0
PATIENCE_SECONDS = 0.25
# Longer than any store has to answer.
LATEST_SECONDS = 3.0


class Asked(NamedTuple, Generic[T]):
    """When a question was asked, and what the one before was answered."""

    at: float
    answer: Future[T]
    before: T | None


class Background(Generic[T]):
    """Answers are kept for `FRESH_SECONDS`. A store that does not answer in time delays some scrapes for a moment."""

    def __init__(self, questions: Mapping[str, Callable[[], T]]) -> None:
        self._questions = dict(questions)
        self._guard = Lock()
        self._readers: ThreadPoolExecutor | None = None
        self._asked: dict[str, Asked[T]] = {}

    def answers(self) -> dict[str, T | None]:
        """The answer before counts for a while. None for a question that has waited for longer."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        asked = [(name, self._ask(name)) for name in self._questions]
        return {name: _answer(question, deadline) for name, question in asked}

    def _ask(self, name: str) -> Asked[T]:
        """The running question, or a new one. At most one runs of each."""
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
