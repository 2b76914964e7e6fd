"""How many requests are worked on at once, whatever number of threads the server has."""

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app.server.streams import Gate

PLACES = 3


class Inside:
    """An application that holds each request until all places are taken, and counts who is inside."""

    def __init__(self) -> None:
        self.most = self._now = 0
        self._guard = threading.Lock()
        self._full = threading.Barrier(PLACES)

    def __call__(self, _environ: dict[str, Any], _start: Any) -> Iterable[bytes]:
        with self._guard:
            self._now += 1
            self.most = max(self.most, self._now)
        self._full.wait(10)
        with self._guard:
            self._now -= 1
        return [b"done"]


def test_no_more_than_the_places_are_inside_at_once() -> None:
    inside = Inside()
    gate = Gate(inside, PLACES)
    with ThreadPoolExecutor(4 * PLACES) as pool:
        answers = list(pool.map(lambda _: gate({}, None), range(8 * PLACES)))
    assert answers == [[b"done"]] * 8 * PLACES
    assert inside.most == PLACES


def test_a_body_is_sent_outside() -> None:
    gate = Gate(lambda _environ, _start: iter([b"endless"]), 1)
    first = gate({}, None)
    assert list(gate({}, None)) == [b"endless"]
    assert list(first) == [b"endless"]


def test_a_request_that_fails_gives_its_place_back() -> None:
    def fails(_environ: dict[str, Any], _start: Any) -> Iterable[bytes]:
        raise ZeroDivisionError

    gate = Gate(fails, 1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            gate({}, None)
