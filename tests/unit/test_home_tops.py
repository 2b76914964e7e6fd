"""Which part of a page a cached home top covers."""

from uuid import UUID

import pytest

from app.services.feeds.home_tops import Top
from app.services.feeds.page_windows import Segment, Window
from repositories.records.content import PostRef

AUTHOR = UUID(int=7)


def ref(number: int) -> PostRef:
    return PostRef(UUID(int=number), AUTHOR)


def top(numbers: range, end: int | None = None) -> Top:
    entries = [UUID(int=n).bytes + AUTHOR.bytes for n in sorted(numbers, reverse=True)]
    return Top(entries, None if end is None else UUID(int=end))


def numbers(segment: Segment | None) -> list[int] | None:
    return None if segment is None else [one.post_id.int for one in segment.refs]


def window(limit: int, *, before: int | None = None, after: int | None = None) -> Window:
    lower, upper = (None if one is None else UUID(int=one) for one in (before, after))
    return Window(limit, lower, upper)


@pytest.mark.parametrize(
    ("end", "part", "found", "reached"),
    [
        (None, window(3), [9, 8, 7], 7),
        (None, window(3, before=8), [7, 6, 5], 5),
        (None, window(9), [9, 8, 7, 6, 5, 4, 3, 2, 1], 1),
        (None, window(10), [9, 8, 7, 6, 5, 4, 3, 2, 1], None),
        (None, window(3, before=1), [], None),
        (1, window(10), [9, 8, 7, 6, 5, 4, 3, 2, 1], 1),
        (1, window(3, before=2), [1], 1),
        (1, window(3, before=1), None, None),
        (1, window(3, after=6), [7, 8, 9], 9),
        (1, window(4, after=6), [7, 8, 9], None),
        (1, window(3, after=9), [], None),
        (3, window(3, after=3), None, None),
        (None, window(2, after=0), [1, 2], 2),
    ],
)
def test_a_window_selects_a_part(end: int | None, part: Window, found: list[int] | None, reached: int | None) -> None:
    segment = top(range(1, 10), end).segment(part)
    assert numbers(segment) == found
    assert segment is None or segment.end == (None if reached is None else UUID(int=reached))


def test_an_empty_top_reaches_the_end() -> None:
    assert top(range(0)).segment(window(5)) == Segment([], None)
    assert top(range(0)).segment(window(5, after=3)) == Segment([], None)
