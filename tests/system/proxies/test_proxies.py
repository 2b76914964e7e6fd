"""Quartet behind nginx, HAProxy and Varnish: what a client sees through each, with compression and a shared cache."""

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

import pytest

from repositories.hot import Streams, open_streams
from tests.apps import BASE
from tests.engines.kernel import wait_until
from tests.system.live import HOST, PATIENCE, Answer, Client, Live, migrated
from tests.system.proxies.proxy import KINDS, Proxy, running
from tests.system.test_live_stream import Reader, account_of, event

pytestmark = [pytest.mark.engines, pytest.mark.live]
# Seconds: six heartbeats. With a proxy that reads ahead, the third or fourth shows that a client has left.
LEFT = 60.0
FAILURES = 2


class Place(NamedTuple):
    """A server that allows one live stream, and the store of its streams."""

    live: Live
    streams: Streams
    accounts: list[UUID]

    @contextmanager
    def followed(self, port: int, person: Client) -> Iterator[Reader]:
        """The one stream, once the server has noticed that its former client has left, which takes events to send."""
        self.accounts.append(account_of(person))
        got: list[Reader] = []

        def taken() -> bool:
            self.streams.append(self.accounts, event(uuid4()))
            reader = Reader(port, person)
            if reader.status != 200:
                reader.close()
                return False
            got.append(reader)
            return True

        assert wait_until(taken, LEFT)
        with closing(got[0]) as reader:
            yield reader


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("behind")
    migrated(folder)
    limits = {"STREAMS": "1", "ADDRESS_LOGIN_FAILURES": f"{FAILURES}"}
    live = Live(folder, WORKERS="1", PROXIES="1", SHARED_SECONDS="600", **limits)
    try:
        live.answering()
        streams = open_streams(f"sqlite:////{folder}/var/quartet.db", timeout=timedelta(seconds=5), pool=1)
        yield Place(live, streams, [])
        streams.close()
    finally:
        live.close()


@pytest.fixture(scope="module", params=list(KINDS))
def proxy(request: pytest.FixtureRequest, place: Place) -> Iterator[Proxy]:
    with running(request.param, place.live.port) as found:
        yield found


@pytest.fixture
def through(place: Place, proxy: Proxy) -> Iterator[Callable[..., Client]]:
    """Makes clients of the proxy: signed in as `name`, or without a session."""
    opened: list[Client] = []

    def client(name: str = "") -> Client:
        token = place.live.person(name).token if name else None
        opened.append(Client(proxy.port, token))
        return opened[-1]

    yield client
    for one in opened:
        one.close()


Through = Callable[..., Client]


def packed(client: Client, path: str, **headers: str) -> Answer:
    return client.send("GET", path, Accept_Encoding="gzip", **headers)


def writer(answer: Answer) -> str:
    """The id of the request for which Quartet made this answer; an answer from a cache has the id of the first."""
    return answer.headers["x-request-id"]


def test_an_edit_succeeds_with_the_served_etag(through: Through) -> None:
    ada = through("ada")
    path = f"/posts/{ada.publish('Before')}"
    for reader in (ada, through()):
        served = packed(reader, path)
        assert served.headers["content-encoding"] == "gzip"
        tag = served.headers["etag"]
        assert tag.startswith('W/"'), "these proxies weaken the tag; with a strong one this test would prove nothing"
        edited = ada.send("PATCH", path, {"title": (title := f"After {uuid4()}")}, If_Match=tag)
        assert (edited.status, edited.body["post"]["title"]) == (200, title)
        assert ada.send("PATCH", path, {"title": "Too late"}, If_Match=tag).status == 412


def test_bodies_compressed_by_quartet_pass_unchanged(through: Through, proxy: Proxy) -> None:
    ada = through("ada")
    body = {"title": "Long", "body": "Some words. " * 200}
    path = f"/posts/{ada.ask('POST', '/posts', body)['post']['id']}"
    for reader in (ada, through()):
        tag = packed(reader, path).headers["etag"]
        assert tag.endswith('-gzip"')
        assert not tag.startswith("W/")
        assert packed(reader, path, If_None_Match=tag).status == 304
        plain = reader.send("GET", path)
        assert "content-encoding" not in plain.headers
        assert plain.body["post"]["body"] == body["body"]
        unpacked = plain.headers["etag"]
        # For an answer that it may keep, Varnish always requests gzip. It decompresses that for clients without gzip,
        # and likewise what it has compressed itself.
        asked = tag if proxy.kind.package == "varnish" and not reader.token else tag.replace("-gzip", "")
        assert unpacked == (f"W/{asked}" if proxy.kind.package == "varnish" else asked)
        assert ada.send("PATCH", path, {"title": "Longer"}, If_Match=tag).status == 200
        assert ada.send("PATCH", path, {"title": "Too late"}, If_Match=unpacked).status == 412


def test_a_conditional_read_is_a_304(through: Through) -> None:
    ada = through("ada")
    # The last one may not be kept by a shared cache.
    for path in (f"/posts/{ada.publish('A post')}", "/posts", "/openapi.json"):
        for reader in (ada, through()):
            tag = packed(reader, path).headers["etag"]
            again = packed(reader, path, If_None_Match=tag)
            assert (again.status, again.body) == (304, b"")
            assert packed(reader, path, If_None_Match='"else"').status == 200


def test_a_signed_in_answer_is_shared_with_nobody(through: Through) -> None:
    people = [through(name) for name in ("ada", "bob")]
    stranger = through()
    path = f"/posts/{people[0].publish('A post')}"
    people[0].ask("PUT", f"{path}/like")
    answers = [packed(person, path) for person in people * 2]
    assert [answer.status for answer in answers] == [200] * 4
    own = packed(stranger, path)
    assert len({*map(writer, answers), writer(own)}) == 5
    # The cached page for clients without a session is not served to those with one.
    assert packed(stranger, path).headers["cache-control"].startswith("public")
    after = [packed(person, path) for person in people]
    assert len({*map(writer, after), *map(writer, answers), writer(own)}) == 7
    assert {answer.headers["cache-control"] for answer in answers + after} == {"private, no-store"}
    for _ in range(2):
        names = [packed(person, "/accounts/me").body["account"]["id"] for person in people]
        assert names[0] != names[1]
        assert packed(stranger, "/accounts/me").status == 401


def test_anonymous_pages_come_from_the_shared_cache_if_there_is_one(through: Through, proxy: Proxy) -> None:
    path = f"/posts/{through('ada').publish('A post')}"

    def twice() -> bool:
        """Whether two clients got the same answer of Quartet."""
        return writer(packed(through(), path)) == writer(packed(through(), path))

    found = wait_until(twice, 5) if proxy.kind.caches else twice()
    assert found == proxy.kind.caches
    # Varnish keeps one copy of a page; the others keep one for each `Accept-Encoding`, if they cache at all.
    alike = writer(packed(through(), path)) == writer(through().send("GET", path))
    assert alike == (proxy.kind.package == "varnish")


def test_live_events_come_one_by_one(place: Place, proxy: Proxy, through: Through) -> None:
    ada = through("ada")
    account = account_of(ada)
    with place.followed(proxy.port, ada) as reader:
        for number in range(5):
            place.streams.append([account], event(number))
            # The event is forwarded at once, not only when a later heartbeat flushes it.
            received = reader.block()
            assert (received.name, received.data["n"]) == ("post", f"{number}")


def test_a_client_that_left_is_noticed(place: Place, proxy: Proxy, through: Through) -> None:
    ada, bob = through("ada"), through("bob")
    with place.followed(proxy.port, ada), closing(Reader(proxy.port, bob)) as refused:
        assert refused.status == 503
    with place.followed(proxy.port, bob) as reader:
        assert reader.status == 200


SPOOFED = ("203.0.113.7", "unknown", "203.0.113.8, 203.0.113.9", ",,;; \t%", '"[::1', "-" * 4000)


def refusal(port: int, address: str, **headers: str) -> int:
    """The status of a sign-in with a wrong password. Header names are sent as given, but `__` stands for a dash."""
    with closing(http.client.HTTPConnection(HOST, port, timeout=PATIENCE, source_address=(address, 0))) as connection:
        names = {name.replace("__", "-"): value for name, value in headers.items()}
        body = json.dumps({"login": f"nobody_{uuid4().hex[:8]}", "password": "wrong wrong wrong"})
        connection.request("POST", f"{BASE}/sessions", body, {"Content-Type": "application/json", **names})
        return connection.getresponse().status


def test_the_client_address_is_the_one_the_proxy_saw(proxy: Proxy) -> None:
    # Each proxy has its own addresses: failures count for a minute, and all proxies are in front of one server.
    net = list(KINDS).index(proxy.kind.package)
    one, other = f"127.0.{net}.2", f"127.0.{net}.3"
    assert [refusal(proxy.port, one, X__Forwarded__For=f"198.51.100.{n}") for n in range(FAILURES)] == [401] * FAILURES
    assert [refusal(proxy.port, one, X__Forwarded__For=text) for text in SPOOFED] == [429] * len(SPOOFED)
    assert refusal(proxy.port, one, X_Forwarded_For="203.0.113.7") == 429
    assert refusal(proxy.port, other, X__Forwarded__For=one) == 401


def test_a_malformed_address_is_harmless(through: Through) -> None:
    stranger = through()
    for written in SPOOFED:
        assert stranger.send("GET", "/posts", X_Forwarded_For=written).status == 200, written
