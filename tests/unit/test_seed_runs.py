"""How the rows of a seed are drawn, made and stored."""

import threading
from random import Random

import pytest

from app.seed.draws import Draws
from app.seed.work import Batch, Progress, Run, Step

PATIENCE = 10.0
# Seconds that the first maker waits for a second one, which should not come.
MOMENT = 0.1


class Recorder:
    """Stores the rows of no batch before those of the second are made."""

    def __init__(self) -> None:
        self.brought: list[int] = []
        self.are_two_making = threading.Event()
        self._making = threading.Lock()
        self._second = threading.Event()

    def make(self, batch: Batch) -> list[int]:
        if not self._making.acquire(blocking=False):
            self.are_two_making.set()
        elif batch.start:
            self._making.release()
        else:
            self.are_two_making.wait(MOMENT)
            self._making.release()
        if batch.start:
            self._second.set()
        return list(batch)

    def put(self, rows: list[int]) -> None:
        assert self._second.wait(PATIENCE), "nobody makes the next rows while these are on their way"
        self.brought += rows


def step(recorder: Recorder, numbers: int) -> Step:
    return Step("things", "documents", numbers, lambda _k: 1, lambda _batch: False, recorder.make, recorder.put)


def test_one_thread_makes_rows_while_others_write() -> None:
    recorder = Recorder()
    outcome = Run(step(recorder, 40), batch=10, threads=4, progress=Progress())()
    assert outcome.written == 40
    assert sorted(recorder.brought) == list(range(40))
    assert not recorder.are_two_making.is_set()


def test_the_batch_size_of_a_step_may_be_scaled() -> None:
    things = step(Recorder(), 25)
    assert [len(one) for one in things.batches(10 * 0.5)] == [5] * 5
    assert [len(one) for one in things.batches(2 * 5)] == [10, 10, 5]


def test_a_stream_has_the_numbers_that_python_draws_from_its_seed() -> None:
    draws = Draws("world")
    stream, plain = draws.stream("posts", 7), Random(draws.number("posts", 7))  # noqa: S311 - compared
    assert [stream.random() for _ in range(700)] == [plain.random() for _ in range(700)]
    assert stream.choices(range(9), k=9) == plain.choices(range(9), k=9)
    assert stream.sample(range(99), 9) == plain.sample(range(99), 9)
    assert stream.lognormvariate(0.0, 0.7) == plain.lognormvariate(0.0, 0.7)


@pytest.mark.parametrize("size", [1, 3])
def test_a_load_that_is_repeated_asks_once_for_each_thing(size: int) -> None:
    asked: list[int] = []

    def there(batch: Batch) -> bool:
        asked.extend(batch)
        return True

    recorder = Recorder()
    things = Step("things", "documents", 9, lambda _k: 1, there, recorder.make, recorder.put)
    outcome = Run(things, batch=size, threads=1, progress=Progress())()
    assert (outcome.written, recorder.brought) == (0, [])
    assert sorted(asked) == list(range(9))
