"""Upward cursors: posts that are stored late are not missed, and none is shown twice."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from app.http.edge.feed_cursor import packed, unpacked
from app.ids import Ids
from app.services.feeds.upward_cursor import DROPPED_BITS, MAX_SEEN, FeedCursor, advanced, id_prefix

HORIZON_BACK = 40


def ident(number: int) -> UUID:
    """An id with non-zero bits after its front, like real ids."""
    return UUID(int=(number + 1 << DROPPED_BITS) + 0x5EED)


def test_nothing_shown_and_no_start_give_no_cursor() -> None:
    assert advanced(None, [], None, ident(5)) is None


def test_old_ids_are_not_carried() -> None:
    cursor = advanced(None, [ident(3), ident(1)], None, ident(9))
    assert cursor is not None
    assert ident(3) <= cursor.after < ident(4)
    assert cursor.seen == ()


def test_young_ids_are_carried() -> None:
    cursor = advanced(FeedCursor(ident(1)), [ident(7), ident(5)], None, ident(4))
    assert cursor == FeedCursor(ident(4), (id_prefix(ident(7)), id_prefix(ident(5))))


def test_a_first_page_puts_the_cursor_at_its_lowest_post() -> None:
    cursor = advanced(None, [ident(9), ident(8)], None, ident(2))
    assert cursor == FeedCursor(ident(8), (id_prefix(ident(9)),))


def test_a_cursor_never_goes_back_and_an_empty_page_advances_it() -> None:
    assert advanced(FeedCursor(ident(6)), [], None, ident(2)) == FeedCursor(ident(6))
    assert advanced(FeedCursor(ident(1)), [], ident(7), ident(9)) == FeedCursor(ident(7))


def test_a_cursor_is_packed_and_unpacked() -> None:
    ids, start = Ids(), Ids()()
    cursor = FeedCursor(start, tuple(id_prefix(ids()) for _ in range(MAX_SEEN)))
    assert unpacked(start, packed(cursor)) == cursor.seen
    assert len(packed(cursor)) < 4000


def test_a_burst_of_more_ids_than_carried_moves_the_cursor_up() -> None:
    shown = [ident(n) for n in range(MAX_SEEN + 50, 10, -1)]
    cursor = advanced(FeedCursor(ident(10)), shown, None, ident(0))
    assert cursor is not None
    assert len(cursor.seen) == MAX_SEEN
    assert shown[MAX_SEEN] <= cursor.after < shown[MAX_SEEN - 1]


def test_shown_posts_stay_shown_when_an_empty_page_moves_the_cursor() -> None:
    carried = advanced(FeedCursor(ident(1)), [ident(7)], None, ident(4))
    assert carried is not None
    moved = advanced(carried, [], None, ident(9))
    assert moved is not None
    assert moved.after >= ident(7)
    assert moved.seen == ()


@given(st.lists(st.tuples(st.integers(0, HORIZON_BACK - 1), st.integers(1, 5)), max_size=30), st.integers(1, 7))
def test_polling_upward_gets_every_post_once(published: list[tuple[int, int]], limit: int) -> None:
    """Posts appear up to the length of the horizon late; after each the poller reads page by page."""
    there: set[UUID] = set()
    got: list[UUID] = []
    cursor = FeedCursor(ident(0))
    now = HORIZON_BACK
    for late, count in published:
        now += 1
        there |= {ident(1000 * (now - late) + len(there) + n) for n in range(count)}
        cursor = _polled(cursor, there, got, limit, ident(1000 * (now - HORIZON_BACK)))
    assert sorted(got) == sorted(there)


def _polled(cursor: FeedCursor, there: set[UUID], got: list[UUID], limit: int, horizon: UUID) -> FeedCursor:
    while True:
        new = sorted(i for i in there if i > cursor.after and id_prefix(i) not in cursor.seen)
        shown, more = new[:limit], len(new) > limit
        got += shown
        reached = advanced(cursor, shown[::-1], shown[-1] if more else None, horizon)
        assert reached is not None
        cursor = reached
        if not more:
            return cursor
