"""Home feeds answered from kept pages in Redis: two processes, each of which sees the writes of the other."""

from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import pytest

from app.services.pages.lost_drops import LostDrops
from config import Settings
from repositories.errors import Unavailable
from repositories.hot import Cache
from tests.apps import Person, System, embedded, running
from tests.engines.kernel import wait_until
from tests.engines.shared import Shared
from tests.system.real import real_urls

pytestmark = pytest.mark.engines


@pytest.fixture(scope="module")
def settings(engines: Shared, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    urls = embedded(tmp_path_factory.mktemp("feeds")) | real_urls(engines, "feeds", ("cache",))
    return Settings(**urls)


@pytest.fixture(scope="module")
def here(settings: Settings) -> Iterator[System]:
    with running(settings) as system:
        states = system.container.pages.home.states
        assert states
        states.steady = 0
        yield system


@pytest.fixture(scope="module")
def there(here: System, settings: Settings) -> Iterator[System]:
    with running(settings) as system:
        yield system


class Reader:
    """A reader who follows `author`. A page is read until it is answered without the truth."""

    def __init__(self, here: System, there: System) -> None:
        self.here, self.there = here, there
        self.author, self.person = there.person(), here.person()
        self.elsewhere = Person(there.app.test_client(), self.person.token, self.person.account)
        self.follow()
        self.author.publish("First")

    def follow(self) -> None:
        self.elsewhere.put(f"/accounts/{self.author.handle}/follow")

    def warm(self) -> list[Any]:
        self.here.relay.drain()

        def quick() -> bool:
            return "relational" not in self.person.send("GET", "/feed").headers["Server-Timing"]

        assert wait_until(quick, 20)
        return self.feed()

    def feed(self) -> list[Any]:
        items: list[Any] = self.person.get("/feed")["items"]
        return [(item["post"]["title"], item["viewer"]["liked"]) for item in items]


@pytest.fixture
def reader(here: System, there: System) -> Reader:
    return Reader(here, there)


def test_each_answered_write_shows_in_the_next_page(reader: Reader) -> None:
    assert reader.warm() == [("First", False)]
    post = reader.author.publish("Second")
    assert reader.feed() == [("Second", False), ("First", False)]
    assert reader.warm() == reader.feed()
    reader.elsewhere.put(f"/posts/{post}/like")
    assert reader.feed() == [("Second", True), ("First", False)]
    reader.warm()
    reader.author.delete(f"/posts/{post}", etag="*")
    assert reader.feed() == [("First", False)]
    reader.warm()
    reader.elsewhere.delete(f"/accounts/{reader.author.handle}/follow")
    assert reader.feed() == []
    reader.follow()
    assert reader.warm() == [("First", False)]
    reader.author.put(f"/accounts/{reader.person.handle}/block")
    assert reader.feed() == []


WRITES: dict[str, Callable[[Reader], object]] = {
    "publish": lambda reader: reader.author.publish("Second"),
    "unfollow": lambda reader: reader.elsewhere.delete(f"/accounts/{reader.author.handle}/follow"),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_drop_that_fails_is_settled_before_the_answer(reader: Reader, write: str) -> None:
    reader.warm()
    # A new `LostDrops`, so that it waits. After a recent count it would not, since normally no state is kept then, but
    # here the reader keeps one.
    reader.there.container.pages.invalidation.lost = LostDrops(reader.there.container.stores.relational)
    away: type[Cache] = type(reader.there.container.stores.cache)
    with patch.object(away, "drop", side_effect=Unavailable("cache", "away")):
        WRITES[write](reader)
    assert reader.feed() == ([] if write == "unfollow" else [("Second", False), ("First", False)])


def test_an_emptied_cache_costs_only_reads(reader: Reader, here: System) -> None:
    reader.warm()
    here.container.stores.cache.void()
    assert reader.feed() == [("First", False)]
    assert reader.warm() == [("First", False)]
