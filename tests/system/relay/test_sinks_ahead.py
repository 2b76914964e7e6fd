"""Sinks that take the next batch while the former is on its way."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from app.container import Container
from app.worker.sinks.sending import BATCH
from config import Settings
from repositories.sinks import Message, Sent
from tests.apps import embedded, running
from tests.system.crowd import Watch
from tests.system.relay.shelves import LEASE, Shelf, ids, log, serve, worker


class Ahead(Shelf):
    """Takes two batches at once."""

    ahead = 2

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[int] = []

    def begin(self, messages: Sequence[Message]) -> Callable[[], Sent]:
        self.begun.append(len(messages))
        return super().begin(messages)


@pytest.fixture
def container(clock: Watch, tmp_path: Path) -> Iterator[Container]:
    with running(Settings(**embedded(tmp_path), sinks="kafka://127.0.0.1:1/events"), clock) as system:
        yield system.container


def test_the_next_batch_is_begun_while_the_former_is_on_its_way(container: Container) -> None:
    wrote, shelf = log(container, 2 * BATCH + 3), Ahead()
    one = worker(container, shelf)
    assert one.step() == BATCH
    assert shelf.begun == [BATCH, BATCH]
    (state,) = container.stores.relational.event_log.states()
    assert state.waiting == BATCH + 3, "the cursor moves over what is kept"
    one.close()
    assert ids(shelf) == wrote[: 2 * BATCH], "what was begun is written down"
    assert serve(worker(container, shelf)) == 3
    assert ids(shelf) == wrote


@pytest.mark.parametrize("refused", [True, False])
def test_what_was_begun_behind_a_failure_is_begun_again(container: Container, *, refused: bool) -> None:
    wrote, shelf = log(container, 2 * BATCH), Ahead()
    shelf.refused, shelf.room = ({wrote[3]}, None) if refused else (set(), 3)
    one = worker(container, shelf)
    one.step()
    assert ids(shelf) == wrote[:3]
    shelf.room = None
    if not refused:
        container.stores.relational.event_log.rewind("kafka", since=container.stores.relational.now() + LEASE)
    serve(one)
    assert ids(shelf) == [one for one in wrote if one not in shelf.refused]
