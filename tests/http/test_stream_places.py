"""The limits on live streams, and which stream a new one replaces."""

from contextlib import closing

import pytest

from tests.apps import Person, System
from tests.http.stream_reader import Make, Reader, numbers, publish, signing


@pytest.fixture
def system(make: Make) -> System:
    return make()


def test_places_are_limited_and_freed(system: System) -> None:
    ada, bob, cleo = system.person(), system.person(), system.person()
    hers, his = [Reader(ada) for _ in range(4)], [Reader(bob) for _ in range(2)]
    refused = cleo.send("GET", "/feed/stream")
    assert (refused.status_code, refused.get_json(force=True)["code"]) == (503, "streams_taken")
    assert refused.headers["Retry-After"]
    his[0].close()
    with closing(Reader(cleo)):
        assert system.container.live.hub.count == 6
    for reader in (*hers, *his):
        reader.close()
        reader.close()
    assert system.container.live.hub.count == 0


def test_the_newest_stream_of_an_account_takes_the_place_of_its_oldest(system: System) -> None:
    """Quick reloads are unlimited, although each leaves a stream whose disconnected client has not been noticed yet."""
    ada = system.person()
    opened = [Reader(ada) for _ in range(16)]
    for left in opened[:-4]:
        left.end()
    publish(system, ada, "to those that are left")
    assert [numbers(reader.events(1)) for reader in opened[-4:]] == [["to those that are left"]] * 4
    assert system.container.live.hub.count == 4
    for reader in opened:
        reader.close()
    assert system.container.live.hub.count == 0


def test_a_session_takes_the_places_of_its_own_streams_first(system: System) -> None:
    ada = system.person()
    phone = Person(system.app.test_client(), ada.post("/sessions", signing(ada), 201)["token"], ada.account)
    first, *others = [Reader(ada), Reader(phone), Reader(ada), Reader(ada)]
    again = Reader(phone)
    others[0].end()
    publish(system, ada, "still there")
    assert [numbers(reader.events(1)) for reader in (first, *others[1:], again)] == [["still there"]] * 4
    for reader in (first, *others, again):
        reader.close()


def test_an_account_with_a_stream_gets_another_when_all_places_are_taken(system: System) -> None:
    ada, bob = system.person(), system.person()
    hers, his = [Reader(ada) for _ in range(4)], [Reader(bob) for _ in range(2)]
    with closing(Reader(bob)):
        his[0].end()
        assert system.container.live.hub.count == 6
    for reader in (*hers, *his):
        reader.close()


def test_a_body_that_is_never_read_frees_its_place(system: System) -> None:
    system.person().send("GET", "/feed/stream").close()
    assert system.container.live.hub.count == 0


def test_a_head_request_takes_no_place(system: System) -> None:
    response = system.person().send("HEAD", "/feed/stream")
    assert (response.status_code, response.headers["Content-Type"]) == (200, "text/event-stream")
    assert "Content-Length" not in response.headers
    assert system.container.live.hub.count == 0
