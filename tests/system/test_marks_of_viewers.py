"""The viewer's part of cards, with marks cached in Redis: two processes, each of which sees the other's writes."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from config import Settings
from tests.apps import Person, System, embedded, running
from tests.engines.shared import Shared
from tests.system.real import real_urls

pytestmark = pytest.mark.engines


@pytest.fixture(scope="module")
def settings(engines: Shared, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    urls = embedded(tmp_path_factory.mktemp("marks")) | real_urls(engines, "marks", ("cache",))
    return Settings(**urls)


@pytest.fixture(scope="module")
def here(settings: Settings) -> Iterator[System]:
    with running(settings) as system:
        yield system


@pytest.fixture(scope="module")
def there(here: System, settings: Settings) -> Iterator[System]:
    with running(settings) as system:
        yield system


def viewer(person: Person, path: str) -> Any:
    """The viewer's part of a page, which is requested twice, so that the second answer comes from the cache."""
    for _ in range(2):
        page = person.get(path)
    return (page.get("items") or [page])[0]["viewer"]


def test_each_answered_write_shows_in_the_next_answer(here: System, there: System) -> None:
    author, reader = here.person(), here.person()
    away = Person(there.app.test_client(), reader.token, reader.account)
    post = author.publish("Seen")
    paths = [f"/posts/{post}", f"/accounts/{author.handle}/posts"]

    def seen() -> set[tuple[bool, bool]]:
        return {(v["liked"], v["following_author"]) for who in (reader, away) for v in (viewer(who, p) for p in paths)}

    assert seen() == {(False, False)}
    reader.put(f"/posts/{post}/like")
    assert seen() == {(True, False)}
    away.put(f"/accounts/{author.handle}/follow")
    assert seen() == {(True, True)}
    reader.delete(f"/posts/{post}/like")
    assert seen() == {(False, True)}
    away.delete(f"/accounts/{author.handle}/follow")
    assert seen() == {(False, False)}
    reader.put(f"/accounts/{author.handle}/follow")
    assert seen() == {(False, True)}
    author.put(f"/accounts/{reader.handle}/block")
    assert seen() == {(False, False)}


def test_a_profile_shows_each_answered_follow_and_block(here: System, there: System) -> None:
    author, reader = here.person(), here.person()
    away = Person(there.app.test_client(), reader.token, reader.account)
    path = f"/accounts/{author.handle}"

    def seen() -> set[tuple[bool, bool, bool]]:
        shown = [viewer(who, path) for who in (reader, away)]
        return {(v["following"], v["follows_you"], v["blocking"]) for v in shown}

    assert seen() == {(False, False, False)}
    away.put(f"{path}/follow")
    assert seen() == {(True, False, False)}
    author.put(f"/accounts/{reader.handle}/follow")
    assert seen() == {(True, True, False)}
    away.put(f"{path}/block")
    assert seen() == {(False, False, True)}
    away.delete(f"{path}/block")
    assert seen() == {(False, False, False)}
    assert set(viewer(reader, f"/accounts/{reader.handle}").values()) == {False}


def test_cached_viewer_marks_need_no_relational_store(here: System) -> None:
    author, reader = here.person(), here.person()
    for path in (f"/posts/{author.publish('Often')}", f"/accounts/{author.handle}"):
        viewer(reader, path)
        trips = reader.send("GET", path).headers["Server-Timing"]
        assert "cache" in trips
        assert "relational" not in trips


def test_marks_come_along_with_a_page_that_another_process_has_kept(here: System, there: System) -> None:
    author, reader = here.person(), here.person()
    away = Person(there.app.test_client(), reader.token, reader.account)
    for path in (f"/posts/{author.publish('Once')}", f"/accounts/{author.handle}/posts"):
        viewer(reader, path)
        trips = away.send("GET", path).headers["Server-Timing"]
        assert re.findall(r'(\w+);dur=[\d.]+;desc="(\d+)', trips) == [("sessions", "1"), ("cache", "1")]
