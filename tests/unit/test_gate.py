"""The gate limits how many requests are processed at once, whatever the server's number of threads."""

import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from app.server.gate import LEAST, MOST, REMEMBERED, Gate
from tests.engines.kernel import wait_until

PLACES = 3


class HoldingApp:
    """An application that holds each request until all places are taken, and counts the requests inside."""

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


def test_no_more_requests_than_places_are_inside_at_once() -> None:
    inside = HoldingApp()
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


SECONDS = 60.0


class TakenGate:
    """A gate with one place, which is taken. By the gate's own mean, earlier requests took `took` seconds each."""

    def __init__(self, took: float, *, room: int = 0) -> None:
        self.refused: list[str] = []
        self._let = threading.Event()
        self.gate = Gate(
            self._hold, 1, seconds=SECONDS, refuse=self._refuse, spared=lambda env: "spared" in env, room=lambda: room
        )
        self.gate._mean = took
        self._pool = ThreadPoolExecutor(4 * MOST)
        self._answers: list[Future[Iterable[bytes]]] = []

    def ask(self, **environ: Any) -> None:
        """Send another request; returns once it waits or is refused."""
        before = self._known()
        self._answers.append(self._pool.submit(self.gate, environ, None))
        assert wait_until(lambda: self._known() > before, 30)

    def ended(self) -> list[Iterable[bytes]]:
        self._let.set()
        with self._pool:
            return [one.result(30) for one in self._answers]

    def _known(self) -> int:
        return int(self.gate.levels()["in_flight"]) + len(self.refused)

    def _hold(self, _environ: dict[str, Any], _start: Any) -> Iterable[bytes]:
        self._let.wait(30)
        return [b"done"]

    def _refuse(self, _environ: dict[str, Any], _start: Any, reason: str) -> Iterable[bytes]:
        self.refused.append(reason)
        return [b"refused"]


@pytest.mark.parametrize(("took", "waiting"), [(6.0, 10), (3.0, 20), (600.0, LEAST), (0.001, MOST)])
def test_no_more_wait_than_are_answered_in_time(took: float, waiting: int) -> None:
    busy = TakenGate(took)
    busy.ask()
    assert busy.gate.levels() == {"in_flight": 1, "limit": 1 + waiting}
    for _ in range(waiting):
        busy.ask()
    assert not busy.refused
    busy.ask()
    assert busy.refused == ["crowded"]
    busy.ask(spared=True)
    assert busy.refused == ["crowded"]
    answers = busy.ended()
    assert (answers.count([b"done"]), answers.count([b"refused"])) == (waiting + 2, 1)
    assert busy.gate.levels()["in_flight"] == 0


def test_nobody_is_refused_while_threads_are_free() -> None:
    busy = TakenGate(6.0, room=15)
    for _ in range(1 + 15):
        busy.ask()
    assert (busy.refused, busy.gate.levels()) == ([], {"in_flight": 16, "limit": 11})
    busy.ask()
    assert busy.refused == ["crowded"]
    answers = busy.ended()
    assert answers.count([b"done"]) == 16, "a burst is answered, if it is only that"
    assert busy.gate.levels()["in_flight"] == 0


def test_the_limit_follows_the_duration_of_requests() -> None:
    gate = Gate(lambda _environ, _start: [], 1, seconds=0.2, refuse=lambda *_: [])
    gate._mean = 10.0
    assert gate.levels()["limit"] == 1 + LEAST
    for _ in range(12 * REMEMBERED):
        gate({}, None)
    assert gate.levels()["limit"] > 1 + LEAST


def test_spared_requests_come_first_then_the_order_of_arrival() -> None:
    order: list[int] = []
    first = threading.Event()

    def inner(environ: dict[str, Any], _start: Any) -> Iterable[bytes]:
        first.wait(30)
        order.append(environ["number"])
        return []

    gate = Gate(inner, 1, seconds=SECONDS, refuse=lambda *_: [], spared=lambda env: env["number"] == 4)

    def here(number: int) -> bool:
        return gate.levels()["in_flight"] == number

    with ThreadPoolExecutor(6) as pool:
        for number in range(6):
            pool.submit(gate, {"number": number}, None)
            assert wait_until(lambda number=number: here(number + 1), 30)  # type: ignore[misc]
        first.set()
    assert order == [0, 4, 1, 2, 3, 5]


@pytest.mark.parametrize(("waiting", "reason"), [(0, "late"), (LEAST, "crowded")])
def test_work_is_not_begun_after_too_long_a_wait(waiting: int, reason: str) -> None:
    held, begun, refused = threading.Event(), list[str](), list[str]()

    def inner(environ: dict[str, Any], _start: Any) -> Iterable[bytes]:
        begun.append(environ["name"])
        held.wait(30)
        return []

    def refuse(_environ: dict[str, Any], _start: Any, why: str) -> Iterable[bytes]:
        refused.append(why)
        return []

    gate = Gate(inner, 1, seconds=0.001, refuse=refuse, spared=lambda env: "spared" in env, room=lambda: 2 * LEAST)
    gate._mean = 10.0
    with ThreadPoolExecutor(1 + LEAST) as pool:
        for number in range(1 + waiting):
            pool.submit(gate, {"name": f"{number}", "spared": True}, None)
            assert wait_until(lambda number=number: gate.levels()["in_flight"] == number + 1, 30)  # type: ignore[misc]
        gate({"name": "second"}, None)
        assert (begun, refused) == (["0"], [reason])
        held.set()
    gate({"name": "third"}, None)
    assert (begun[-1], len(begun), gate.levels()["in_flight"]) == ("third", waiting + 2, 0)


class FullGate:
    """A gate whose only place and whose queue are taken, with `room` further threads. The thread of a request that was
    held and then refused rests until `end`.
    """

    def __init__(self, room: int) -> None:
        self._over, self.resting = threading.Event(), threading.Semaphore(0)
        self._gate = Gate(
            lambda _environ, _start: [b"done"] if self._over.wait(30) else [],
            1,
            seconds=0.001,
            refuse=lambda *_: [b"refused"],
            spared=lambda env: "spared" in env,
            room=lambda: LEAST + room,
            rest=self._rest,
        )
        self._gate._mean = 10.0
        self._pool = ThreadPoolExecutor(1 + LEAST)
        for number in range(1 + LEAST):
            self._pool.submit(self._gate, {"spared": True}, None)
            assert wait_until(lambda number=number: self._gate.levels()["in_flight"] == number + 1, 30)  # type: ignore[misc]

    def ask(self) -> Iterable[bytes]:
        return self._gate({}, None)

    def end(self) -> None:
        self._over.set()
        self._pool.shutdown()

    def _rest(self) -> None:
        self.resting.release()
        self._over.wait(30)


def test_a_thread_that_was_refused_rests_after_its_answer() -> None:
    crowd = FullGate(room=1)
    answer = iter(crowd.ask())
    assert next(answer) == b"refused"
    with ThreadPoolExecutor(1) as pool:
        rest = pool.submit(lambda: list(answer))
        assert crowd.resting.acquire(timeout=30)
        assert crowd.ask() == [b"refused"], "at once: nobody is held in its place"
        assert crowd.resting.acquire(blocking=False) is False
        crowd.end()
        assert rest.result(30) == []


def test_a_refused_thread_returns_at_once_while_others_are_free() -> None:
    crowd = FullGate(room=2)
    assert crowd.ask() == [b"refused"]
    crowd.end()


def test_without_a_bound_everybody_waits() -> None:
    inside = HoldingApp()
    gate = Gate(inside, PLACES, refuse=lambda *_: [b"refused"])
    with ThreadPoolExecutor(2 * MOST) as pool:
        answers = list(pool.map(lambda _: gate({}, None), range(PLACES * MOST)))
    assert answers == [[b"done"]] * PLACES * MOST
