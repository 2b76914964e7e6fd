"""The contract of `Streams`: listeners."""

import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

from repositories.hot import Streams
from repositories.hot.streams_port import Delta, Position
from tests.contracts.hot.live_events import ALL, StreamsUnderTest, event, read


def test_an_account_that_does_not_listen_has_no_stream(streams: Streams) -> None:
    ada = uuid4()
    streams.append([ada], event())
    assert read(streams, ada, Position("", 0)) == Delta(Position("", 0), (), lost=True)
    start = streams.listen(ada)
    assert read(streams, ada, start) == Delta(start, (), lost=False)


def test_listening_again_continues_the_same_stream(streams: Streams) -> None:
    ada = uuid4()
    start = streams.listen(ada)
    streams.append([ada], event())
    again = streams.listen(ada)
    assert again == Position(start.epoch, start.number + 1)
    assert read(streams, ada, start) == Delta(again, (event(),), lost=False)


def test_a_stream_ends_with_its_listener_and_the_next_is_new(under_test: StreamsUnderTest) -> None:
    ada = uuid4()
    start = under_test.streams.listen(ada)
    under_test.streams.append([ada], event("old"))
    under_test.leave([ada])
    assert read(under_test.streams, ada, start) == Delta(Position("", 0), (), lost=True)
    assert ada not in under_test.streams.listeners(after=None, limit=ALL)
    under_test.streams.append([ada], event("unheard"))
    fresh = under_test.streams.listen(ada)
    assert fresh.epoch not in {"", start.epoch}
    assert read(under_test.streams, ada, fresh) == Delta(fresh, (), lost=False)
    under_test.streams.append([ada], event("old"))
    assert read(under_test.streams, ada, fresh).events == (event("old"),)
    assert read(under_test.streams, ada, start).lost


def test_only_the_listeners_among_many_get_an_event(streams: Streams) -> None:
    everybody = [uuid4() for _ in range(2_300)]
    some = everybody[::7]
    starts = [(one, streams.listen(one)) for one in some]
    streams.append([*everybody, *some], event())
    deltas = streams.since(starts, limit=ALL)
    assert [delta.events for delta in deltas] == [(event(),)] * len(some)
    assert all(read(streams, one, Position("", 0)).position.epoch == "" for one in everybody[1:7])


def test_listeners_are_listed_in_order_page_by_page(streams: Streams) -> None:
    mine = sorted(uuid4() for _ in range(9))
    for one in reversed(mine):
        streams.listen(one)
    found: list[UUID] = []
    after = None
    while page := streams.listeners(after=after, limit=4):
        assert len(page) <= 4
        found, after = found + page, page[-1]
    assert found == sorted(set(found))
    assert [one for one in found if one in mine] == mine
    assert streams.listeners(after=mine[0], limit=ALL)[0] > mine[0]


def test_a_listener_that_left_makes_no_gap_in_a_page(under_test: StreamsUnderTest) -> None:
    under_test.leave(under_test.streams.listeners(after=None, limit=ALL))
    first, second, third = sorted(uuid4() for _ in range(3))
    under_test.streams.listen(first)
    under_test.streams.listen(second)
    under_test.leave([first, second])
    under_test.streams.listen(second)
    under_test.streams.listen(third)
    assert under_test.streams.listeners(after=None, limit=1) == [second]
    assert under_test.streams.listeners(after=None, limit=2) == [second, third]


def test_concurrent_calls_of_listen_share_one_stream(streams: Streams) -> None:
    """If each began its own, a later one would end the stream of an earlier one."""
    with ThreadPoolExecutor(8) as pool:
        for _ in range(50):
            ada, together = uuid4(), threading.Barrier(8)

            def begin(ada: UUID = ada, together: threading.Barrier = together) -> Position:
                together.wait(10)
                return streams.listen(ada)

            begun = [job.result() for job in [pool.submit(begin) for _ in range(8)]]
            assert len(set(begun)) == 1
            assert not read(streams, ada, begun[0]).lost
