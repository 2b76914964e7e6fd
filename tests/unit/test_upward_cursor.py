"""Places of readers who page upward: nothing that appears late is missed, nothing is shown twice."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from app.http.resources.feed_cursor import packed, unpacked
from app.ids import Ids
from app.services.feeds.upward_cursor import DROPPED_BITS, MAX_SEEN, FeedCursor, advanced, id_prefix

HORIZON_BACK = 40


def ident(number: int) -> UUID:
    """With something behind its front, as ids have."""
    return UUID(int=(number + 1 << DROPPED_BITS) + 0x5EED)


def test_nothing_shown_and_no_start_is_no_place() -> None:
    assert advanced(None, [], None, ident(5)) is None


def test_what_is_settled_is_not_carried() -> None:
    place = advanced(None, [ident(3), ident(1)], None, ident(9))
    assert place is not None
    assert ident(3) <= place.after < ident(4)
    assert place.seen == ()


def test_what_is_not_settled_is_carried() -> None:
    place = advanced(FeedCursor(ident(1)), [ident(7), ident(5)], None, ident(4))
    assert place == FeedCursor(ident(4), (id_prefix(ident(7)), id_prefix(ident(5))))


def test_a_first_page_leaves_what_is_below_it_to_the_way_down() -> None:
    place = advanced(None, [ident(9), ident(8)], None, ident(2))
    assert place == FeedCursor(ident(8), (id_prefix(ident(9)),))


def test_a_place_never_goes_back_and_an_empty_page_gets_on_to_where_it_looked() -> None:
    assert advanced(FeedCursor(ident(6)), [], None, ident(2)) == FeedCursor(ident(6))
    assert advanced(FeedCursor(ident(1)), [], ident(7), ident(9)) == FeedCursor(ident(7))


def test_a_cursor_carries_what_a_place_holds() -> None:
    ids, start = Ids(), Ids()()
    place = FeedCursor(start, tuple(id_prefix(ids()) for _ in range(MAX_SEEN)))
    assert unpacked(start, packed(place)) == place.seen
    assert len(packed(place)) < 4000


def test_a_burst_beyond_what_is_carried_settles() -> None:
    shown = [ident(n) for n in range(MAX_SEEN + 50, 10, -1)]
    place = advanced(FeedCursor(ident(10)), shown, None, ident(0))
    assert place is not None
    assert len(place.seen) == MAX_SEEN
    assert shown[MAX_SEEN] <= place.after < shown[MAX_SEEN - 1]


def test_what_was_shown_before_stays_shown_when_it_settles_on_an_empty_page() -> None:
    carried = advanced(FeedCursor(ident(1)), [ident(7)], None, ident(4))
    assert carried is not None
    settled = advanced(carried, [], None, ident(9))
    assert settled is not None
    assert settled.after >= ident(7)
    assert settled.seen == ()


@given(st.lists(st.tuples(st.integers(0, HORIZON_BACK - 1), st.integers(1, 5)), max_size=30), st.integers(1, 7))
def test_who_polls_upward_gets_every_post_once(published: list[tuple[int, int]], limit: int) -> None:
    """Posts appear up to the horizon's length late; a poller asks page by page after each."""
    there: set[UUID] = set()
    got: list[UUID] = []
    place = FeedCursor(ident(0))
    now = HORIZON_BACK
    for late, count in published:
        now += 1
        there |= {ident(1000 * (now - late) + len(there) + n) for n in range(count)}
        place = _polled(place, there, got, limit, ident(1000 * (now - HORIZON_BACK)))
    assert sorted(got) == sorted(there)


def _polled(place: FeedCursor, there: set[UUID], got: list[UUID], limit: int, horizon: UUID) -> FeedCursor:
    while True:
        new = sorted(i for i in there if i > place.after and id_prefix(i) not in place.seen)
        shown, more = new[:limit], len(new) > limit
        got += shown
        reached = advanced(place, shown[::-1], shown[-1] if more else None, horizon)
        assert reached is not None
        place = reached
        if not more:
            return place
