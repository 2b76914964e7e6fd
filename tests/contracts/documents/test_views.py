"""The contract of the documents role: view counts."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from repositories.documents import ViewStore
from tests.contracts.document_store import ADAPTERS, at_once, opened


@pytest.fixture(params=ADAPTERS)
def views(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ViewStore]:
    for store in opened(request.param, request, tmp_path):
        yield store.views


def test_counts_add_up(views: ViewStore) -> None:
    one, two, none = uuid4(), uuid4(), uuid4()
    views.apply(1, {})
    views.apply(1, {one: 3})
    views.apply(5, {one: 4, two: 1})
    assert views.counts([one, two, none, one]) == {one: 7, two: 1, none: 0}
    assert views.counts([]) == {}


def test_a_batch_counts_once_for_each_post(views: ViewStore) -> None:
    one, two = uuid4(), uuid4()
    views.apply(7, {one: 3})
    views.apply(7, {one: 3, two: 2})
    views.apply(8, {two: 1})
    views.apply(7, {one: 3, two: 2})
    assert views.counts([one, two]) == {one: 3, two: 3}


def test_a_batch_that_is_applied_by_many_at_once_counts_once(views: ViewStore) -> None:
    posts = [uuid4() for _ in range(50)]
    views.apply(1, dict.fromkeys(posts[:25], 1))
    assert at_once([lambda: views.apply(2, dict.fromkeys(posts, 2))] * 6) == [None] * 6
    expected: dict[UUID, int] = dict.fromkeys(posts, 2) | dict.fromkeys(posts[:25], 3)
    assert views.counts(posts) == expected


def test_many_at_once(views: ViewStore) -> None:
    posts = [uuid4() for _ in range(1_200)]
    views.apply(1, dict.fromkeys(posts, 1))
    assert views.counts(posts) == dict.fromkeys(posts, 1)


def test_a_deleted_post_is_forgotten(views: ViewStore) -> None:
    one, two = uuid4(), uuid4()
    views.apply(3, {one: 3, two: 2})
    views.forget(one)
    views.forget(one)
    assert views.counts([one, two]) == {one: 0, two: 2}
    views.apply(4, {one: 1})
    assert views.counts([one]) == {one: 1}
