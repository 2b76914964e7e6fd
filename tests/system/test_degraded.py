"""What still works while one store is dead or frozen. Everything else is refused in time, by a proper problem."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec import Struct
from werkzeug.test import TestResponse

from config import Settings
from repositories.errors import Contention, Unavailable
from repositories.records.feeds import Activity
from tests.apps import PASSWORD, Person, System, running
from tests.engines import Engines, Server
from tests.engines.kernel import wait_until
from tests.system.real import real_urls

pytestmark = pytest.mark.long
ROLES = {
    "relational": "postgres",
    "documents": "mongo",
    "feeds": "cassandra",
    "sessions": "sessions",
    "cache": "cache",
}
FAULTS = ("dead", "frozen")
# Seconds. The timeout of each store call is half a second, and the rest is for a busy machine. A driver by itself waits
# ten seconds, and a request without a deadline longer.
PATIENCE = 8.0
NOTHING = frozenset[str]()
MODEL = frozenset({"relational", "documents"})
# The stores that each route needs. None needs the cache; the feed store is needed for data that only it has.
NEEDS: dict[str, frozenset[str]] = {
    "live": NOTHING,
    "documentation": NOTHING,
    "register": frozenset({"relational"}),
    "sign in": frozenset({"relational", "sessions"}),
    "sign out": frozenset({"relational", "sessions"}),
    "devices": frozenset({"sessions"}),
    "own account": MODEL | {"sessions"},
    "account": MODEL,
    "posts of an account": MODEL,
    "followers": MODEL,
    "post": MODEL,
    "posts": MODEL,
    "tags": frozenset({"documents"}),
    "comments": MODEL,
    "products": MODEL,
    "feed": MODEL | {"sessions"},
    "notifications": frozenset({"relational", "feeds", "sessions"}),
    "read notifications": frozenset({"relational", "feeds", "sessions"}),
    "publish": MODEL | {"sessions"},
    "edit": MODEL | {"sessions"},
    "delete": frozenset({"documents", "sessions"}),
    "comment": MODEL | {"sessions"},
    "like": MODEL | {"sessions"},
    "follow": frozenset({"relational", "sessions"}),
    "block": frozenset({"relational", "sessions"}),
}
# Cached data can replace the stores that it was read from. Publishing shows the author's cached profile.
CACHED = {"account", "posts of an account", "followers", "post", "posts", "tags", "comments", "products"}
PERHAPS = {"documents": {*CACHED, "own account", "feed"}, "relational": {*CACHED, "publish"}}


class Request(Struct, frozen=True):
    who: str | None
    method: str
    path: str
    options: dict[str, Any]


class PopulatedSystem:
    """A system with a few people and posts. Nothing that the tests request is cached yet."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.ada, self.bob, self.cyd = (system.person() for _ in range(3))
        self.bob.put(f"/accounts/{self.ada.handle}/follow")
        self.tell_of_follow()
        self.posts = [self.ada.publish(f"{n}") for n in range(4)][::-1]
        self.bob.post(f"/posts/{self.posts[0]}/comments", {"body": "First"})
        self.ada.post("/products", {"title": "Mug", "category": "mugs", "price": {"amount": 9, "currency": "EUR"}})

    def tell_of_follow(self) -> None:
        """Store the notification of the follow like the relay, which retries until the feed store answers."""
        ada, bob, now = UUID(self.ada.account["id"]), UUID(self.bob.account["id"]), self.system.container.kit.clock()

        def noted() -> bool:
            try:
                self.system.container.stores.feeds.notifications.note(ada, Activity("follow", ada, bob, now), now)
            except Unavailable:
                return False
            return True

        assert wait_until(noted, 30)

    def requests(self) -> dict[str, Request]:
        """A request for each route in `NEEDS`."""
        handle, name = self.ada.handle, f"n{uuid4().hex[:12]}"
        first, second, third, fourth = (f"/posts/{post}" for post in self.posts)
        register = {"handle": name, "email": f"{name}@example.com", "password": PASSWORD, "display_name": "N"}
        any_version = {"If-Match": "*"}
        return {
            "live": request(None, "GET", "/health/live"),
            "documentation": request(None, "GET", "/openapi.json"),
            "register": request(None, "POST", "/accounts", json=register),
            "sign in": request(None, "POST", "/sessions", json={"login": handle, "password": PASSWORD}),
            "sign out": request(self.cyd.token, "DELETE", "/sessions/current"),
            "devices": request(self.bob.token, "GET", "/sessions"),
            "own account": request(self.bob.token, "GET", "/accounts/me"),
            "account": request(None, "GET", f"/accounts/{handle}"),
            "posts of an account": request(None, "GET", f"/accounts/{handle}/posts"),
            "followers": request(None, "GET", f"/accounts/{handle}/followers"),
            "post": request(None, "GET", third),
            "posts": request(None, "GET", "/posts"),
            "tags": request(None, "GET", "/tags"),
            "comments": request(None, "GET", f"{first}/comments"),
            "products": request(None, "GET", "/products"),
            "feed": request(self.bob.token, "GET", "/feed"),
            "notifications": request(self.ada.token, "GET", "/notifications"),
            "read notifications": request(self.ada.token, "POST", "/notifications/read"),
            "publish": request(self.ada.token, "POST", "/posts", json={"title": "t", "body": "b"}),
            "edit": request(self.ada.token, "PATCH", second, json={"title": "Edited"}, headers=any_version),
            "delete": request(self.ada.token, "DELETE", fourth, headers=any_version),
            "comment": request(self.bob.token, "POST", f"{second}/comments", json={"body": "Second"}),
            "like": request(self.bob.token, "PUT", f"{second}/like"),
            "follow": request(self.ada.token, "PUT", f"/accounts/{self.bob.handle}/follow"),
            "block": request(self.ada.token, "PUT", f"/accounts/{self.cyd.handle}/block"),
        }

    def send(self, asked: Request) -> tuple[TestResponse, float]:
        caller = Person(self.system.app.test_client(), asked.who, {})
        begun = monotonic()
        return caller.send(asked.method, asked.path, **asked.options), monotonic() - begun


def request(who: str | None, method: str, path: str, **options: Any) -> Request:
    return Request(who, method, path, options)


@pytest.fixture(scope="module")
def system(own_engines: Engines) -> Iterator[System]:
    own_engines.start_all()
    settings = Settings(
        **real_urls(own_engines, "degraded"),
        threads=16,
        relational_timeout=0.5,
        documents_timeout=0.5,
        feeds_timeout=0.5,
        sessions_timeout=0.5,
        cache_timeout=0.1,
    )
    with running(settings) as found:
        yield found


@pytest.fixture
def populated(system: System, own_engines: Engines) -> Iterator[PopulatedSystem]:
    wait_until_ready(system)
    yield PopulatedSystem(system)
    own_engines.heal()


def inject(server: Server, fault: str) -> None:
    if fault == "dead":
        server.kill()
    else:
        server.pause()


def wait_until_ready(system: System) -> None:
    client = system.app.test_client()
    assert wait_until(lambda: client.get("/health/ready").status_code == 200, 30)


def drain(system: System) -> None:
    """Run the relay until no event waits, including those postponed because of a store."""

    def empty() -> bool:
        try:
            system.relay.drain()
            stores = system.container.stores
            return not stores.relational.outbox.backlog().unsent and not stores.documents.outbox.backlog().unsent
        except (Unavailable, Contention):
            return False

    assert wait_until(empty, 30)


def assert_refused(answer: TestResponse) -> None:
    assert answer.status_code == 503
    assert answer.content_type == "application/problem+json"
    assert answer.headers["Retry-After"]
    assert answer.get_json(force=True)["code"] == "store_unavailable"


def assert_health_names(system: System, role: str) -> None:
    anybody = system.anybody()
    begun = monotonic()
    answer = anybody.send("GET", "/health/ready")
    assert monotonic() - begun < PATIENCE
    assert answer.status_code == 503
    found = {store: health["status"] for store, health in answer.get_json()["stores"].items()}
    assert found == dict.fromkeys(ROLES, "ok") | {role: "unavailable"}
    assert anybody.get("/health/live") == {"status": "ok"}


@pytest.mark.parametrize("fault", [pytest.param("dead", marks=pytest.mark.proof), "frozen"])
@pytest.mark.parametrize("role", ROLES)
def test_each_route_without_a_store_works_or_is_refused_in_time(
    populated: PopulatedSystem, own_engines: Engines, role: str, fault: str
) -> None:
    requests = populated.requests()
    assert requests.keys() == NEEDS.keys()
    inject(getattr(own_engines, ROLES[role])(), fault)
    order = sorted(requests, key=lambda name: requests[name].method == "DELETE")
    with ThreadPoolExecutor(4) as pool:
        answers = dict(zip(order, pool.map(lambda name: populated.send(requests[name]), order), strict=True))
    for name, (answer, seconds) in answers.items():
        refused = answer.status_code == 503
        assert refused == (role in NEEDS[name]) or name in PERHAPS.get(role, ()), (name, answer.text)
        assert seconds < PATIENCE, name
        if refused:
            assert_refused(answer)
        else:
            assert answer.status_code < 300, (name, answer.text)
    assert_health_names(populated.system, role)


@pytest.mark.parametrize("fault", [pytest.param("dead", marks=pytest.mark.proof), "frozen"])
def test_posts_are_in_every_feed_without_the_feed_store(
    populated: PopulatedSystem, own_engines: Engines, fault: str
) -> None:
    drain(populated.system)
    inject(own_engines.cassandra(), fault)
    posts = [populated.ada.publish("Published in the dark"), *populated.posts]
    assert populated.bob.feed(limit=2) == populated.ada.feed() == posts
    populated.ada.delete(f"/posts/{posts[2]}", etag="*")
    posts.remove(posts[2])
    populated.bob.delete(f"/accounts/{populated.ada.handle}/follow")
    assert populated.bob.feed() == []
    populated.bob.put(f"/accounts/{populated.ada.handle}/follow")
    assert populated.system.relay.drain() == 0
    assert populated.bob.feed() == populated.ada.feed() == posts

    own_engines.heal()
    wait_until_ready(populated.system)
    assert populated.bob.feed(limit=2) == populated.ada.feed() == posts
    drain(populated.system)
    assert populated.bob.feed(limit=2) == populated.ada.feed() == posts
    stored = populated.system.container.stores.feeds.home_page(UUID(populated.bob.account["id"]), limit=9)
    assert [str(ref.post_id) for ref in stored] == posts


@pytest.mark.parametrize("fault", FAULTS)
def test_reads_without_the_cache_are_correct(populated: PopulatedSystem, own_engines: Engines, fault: str) -> None:
    """It stays true when a frozen cache comes back with its old values."""
    path = f"/posts/{populated.posts[0]}"
    assert populated.bob.get(path)["stats"] == {"likes": 0, "comments": 1}
    inject(own_engines.cache(), fault)
    populated.bob.put(f"{path}/like")
    populated.ada.patch(path, {"title": "Edited in the dark"}, etag="*")
    card = populated.bob.get(path)
    assert card["stats"] == {"likes": 1, "comments": 1}
    assert card["post"]["title"] == "Edited in the dark"
    own_engines.heal()
    wait_until_ready(populated.system)
    drain(populated.system)
    card = populated.bob.get(path)
    assert card["stats"] == {"likes": 1, "comments": 1}
    assert card["post"]["title"] == "Edited in the dark"


@pytest.mark.parametrize("fault", FAULTS)
def test_without_the_cache_posts_are_delivered_and_people_notified(
    populated: PopulatedSystem, own_engines: Engines, fault: str
) -> None:
    drain(populated.system)
    bob, stores = UUID(populated.bob.account["id"]), populated.system.container.stores
    inject(own_engines.cache(), fault)
    post = populated.ada.publish("while the cache is away")
    populated.cyd.put(f"/posts/{post}/like")
    drain(populated.system)
    assert str(stores.feeds.home_page(bob, limit=1)[0].post_id) == post
    kinds = [n["kind"] for n in populated.ada.get("/notifications")["items"]]
    assert "like" in kinds
    assert stores.relational.deferred.first(limit=1)
    own_engines.heal()

    def paid() -> bool:
        populated.system.sweeper.sweep()
        return not stores.relational.deferred.first(limit=1)

    assert wait_until(paid, 30)
