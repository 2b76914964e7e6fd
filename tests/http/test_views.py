"""Views of posts over HTTP."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from config import Settings
from tests.apps import BASE, Person, System, embedded, running


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with running(Settings(**embedded(tmp_path), views_seconds=0.0)) as made:
        yield made


def views(system: System, post: str) -> int:
    """The view count, after all views have been applied."""
    system.container.content.views.send()
    system.sweeper.sweep()
    return int(system.anybody().get(f"/posts/{post}/views")["views"])


@pytest.fixture
def author(system: System) -> Person:
    return system.person()


def test_each_get_counts_even_a_304(system: System, author: Person) -> None:
    post = author.publish()
    assert views(system, post) == 0
    answer = system.anybody().send("GET", f"/posts/{post}")
    again = system.anybody().send("GET", f"/posts/{post}", headers={"If-None-Match": answer.headers["ETag"]})
    assert (answer.status_code, again.status_code) == (200, 304)
    author.get(f"/posts/{post}")
    assert views(system, post) == 3


def test_other_requests_do_not_count(system: System, author: Person) -> None:
    post = author.publish()
    assert system.app.test_client().head(f"{BASE}/posts/{post}").status_code == 200
    author.patch(f"/posts/{post}", {"title": "Other"}, etag="*")
    author.get("/posts")
    author.get(f"/posts/{post}/views")
    assert views(system, post) == 0


def test_the_answer_is_the_id_and_the_number(system: System, author: Person) -> None:
    post = author.publish()
    assert system.anybody().get(f"/posts/{post}/views") == {"post_id": post, "views": 0}
    assert "views" not in author.get(f"/posts/{post}")["stats"]


def test_a_missing_post_has_no_views(system: System, author: Person) -> None:
    unknown, deleted = str(uuid4()), author.publish()
    author.delete(f"/posts/{deleted}", etag="*")
    for post in (unknown, deleted):
        system.anybody().get(f"/posts/{post}", 404)
        system.container.content.views.send()
        assert system.sweeper.sweep() == 0
        system.anybody().get(f"/posts/{post}/views", 404)


def test_a_deleted_post_leaves_no_count(system: System, author: Person) -> None:
    post = author.publish()
    author.get(f"/posts/{post}")
    assert views(system, post) == 1
    author.delete(f"/posts/{post}", etag="*")
    while system.relay.drain():
        pass
    assert system.container.content.views.of(UUID(post)) == 0


def test_a_count_that_has_not_changed_is_not_sent_again(system: System) -> None:
    ada = system.person()
    path = f"/posts/{ada.publish()}/views"
    tag = ada.etag(path)
    assert ada.send("GET", path, headers={"If-None-Match": tag}).status_code == 304
