"""Segments of a timeline: the rest of a segment beyond a position, and merging several."""

from uuid import UUID

import pytest

from app.services.feeds.page_windows import Segment, Window, merged
from repositories.records.content import PostRef

AUTHOR, OTHER = UUID(int=1 << 100), UUID(int=2 << 100)


def refs(*numbers: int, author: UUID = AUTHOR) -> list[PostRef]:
    return [PostRef(UUID(int=n), author) for n in numbers]


def below(number: int) -> Window:
    return Window(limit=4, before=UUID(int=number))


def above(number: int) -> Window:
    return Window(limit=4, after=UUID(int=number))


@pytest.mark.parametrize(("part", "left"), [(below(7), [6, 5]), (below(5), []), (Window(limit=4), [9, 8, 6, 5])])
def test_the_rest_of_a_segment_below_a_position(part: Window, left: list[int]) -> None:
    assert Segment(refs(9, 8, 6, 5), None).rest(part).refs == refs(*left)


def test_the_rest_of_a_segment_above_a_position() -> None:
    assert Segment(refs(5, 6, 8), None).rest(above(5)).refs == refs(6, 8)


@pytest.mark.parametrize(
    ("part", "is_passed"),
    [(Window(limit=4), False), (below(6), False), (below(5), True), (below(4), True)],
)
def test_a_segment_is_passed_where_it_ends(part: Window, *, is_passed: bool) -> None:
    assert Segment(refs(9, 5), UUID(int=5)).is_passed(part) is is_passed
    assert not Segment(refs(9, 5), None).is_passed(part)


def test_a_segment_is_passed_upward_too() -> None:
    assert [Segment(refs(5, 9), UUID(int=9)).is_passed(above(n)) for n in (8, 9, 10)] == [False, True, True]


def test_merged_segments_reach_as_far_as_the_shortest() -> None:
    one, other = Segment(refs(9, 7, 3), UUID(int=3)), Segment(refs(8, 5), UUID(int=5))
    assert merged([one, other], Window(limit=4)) == Segment(refs(9, 8, 7, 5), UUID(int=5))
    assert merged([one, other], Window(limit=4), UUID(int=8)) == Segment(refs(9, 8), UUID(int=8))


def test_a_post_with_two_authors_has_that_of_the_later_segment() -> None:
    damaged, true = Segment(refs(9, author=OTHER), None), Segment(refs(9), None)
    assert merged([damaged, true], Window(limit=4)) == Segment(refs(9), None)
