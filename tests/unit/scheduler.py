"""A deterministic scheduler: runs actors step by step in every possible order.

An actor is a function that calls `step` before everything others can see. Only one actor runs at a time, from one
step to the next; which one is a choice, and `every_order` makes each sequence of choices once.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Self

Actor = Callable[[], None]
PATIENCE = 10.0


def _taken() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass
class _Turn:
    """One actor's thread. `go` lets it continue; `stopped` signals that it has reached its next step or has ended.

    Both are locks that one thread acquires and another releases. Being chosen to begin is the first step.
    """

    go: threading.Lock = field(default_factory=_taken)
    stopped: threading.Lock = field(default_factory=_taken)
    done: Future[None] | None = None
    begins: bool = True
    ended: bool = False

    def wait(self) -> None:
        assert self.stopped.acquire(timeout=PATIENCE), "an actor hangs between two steps"


class Scheduler:
    """Runs actors. Threads are reused for all runs, since stores keep a connection per thread."""

    def __init__(self, actors: int) -> None:
        self._threads = ThreadPoolExecutor(actors)
        self._mine = threading.local()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown()

    def step(self) -> None:
        """Wait until chosen. A thread that is not an actor continues at once."""
        turn: _Turn | None = getattr(self._mine, "turn", None)
        if turn is not None and not turn.begins:
            turn.stopped.release()
            turn.go.acquire()
        elif turn is not None:
            turn.begins = False

    def every_order(self, setting: Callable[[], Sequence[Actor]]) -> Iterator[list[int]]:
        """Run new actors in every order; yields the choices of each run after it."""
        prefix: list[int] = []
        while True:
            chosen, options = self._run(setting(), prefix)
            yield chosen
            while options and chosen[-1] == options[-1] - 1:
                chosen.pop()
                options.pop()
            if not options:
                return
            prefix = [*chosen[:-1], chosen[-1] + 1]

    def _run(self, actors: Sequence[Actor], prefix: Sequence[int]) -> tuple[list[int], list[int]]:
        """One run: the choices of `prefix`, then always the first actor. Returns the choices, and the number of options
        at each.
        """
        turns = [self._start(actor) for actor in actors]
        chosen: list[int] = []
        options: list[int] = []
        while live := [turn for turn in turns if not turn.ended]:
            choice = prefix[len(chosen)] if len(chosen) < len(prefix) else 0
            chosen.append(choice)
            options.append(len(live))
            live[choice].go.release()
            live[choice].wait()
        for turn in turns:
            assert turn.done
            turn.done.result()
        return chosen, options

    def _start(self, actor: Actor) -> _Turn:
        turn = _Turn()
        turn.done = self._threads.submit(self._act, turn, actor)
        turn.wait()
        return turn

    def _act(self, turn: _Turn, actor: Actor) -> None:
        turn.stopped.release()
        turn.go.acquire()
        self._mine.turn = turn
        try:
            actor()
        finally:
            self._mine.turn = None
            turn.ended = True
            turn.stopped.release()
