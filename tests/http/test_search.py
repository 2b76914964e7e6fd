"""`GET /search` with the example's index, which gets events by a webhook; and without a search service."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from app.worker.running import relay_of
from config import Settings
from examples.search import consumer
from examples.search.consumer import TYPES, Consumer
from examples.search.index import Document, Index, matching
from examples.search.service import Service
from tests.apps import PASSWORD, Person, System, embedded, running
from tests.http.world import LAMP
from tests.receiver import receiving
from tests.search_service import SECRET, index, indexed, serving
from tests.system.relay.operator import Operator, settings

ABSENT = "http://127.0.0.1:9"


def titles(person: Person, query: str, **more: Any) -> list[str]:
    items = person.get("/search", q=query, **more)["items"]
    return [next(iter(one.values()))[next(iter(one))]["title"] for one in items]


class Story:
    """Quartet, and a search service that gets its events by a webhook, each on its own port."""

    def __init__(self, system: System, place: Any, api: str, folder: Path) -> None:
        self.system = system
        self.operator = Operator(system, None)
        self._place, self._api, self._folder = place, api, folder
        body = {"url": f"http://127.0.0.1:{place.server_port}/events", "types": TYPES}
        self._webhook = self.operator.ask("POST", body=body, status=201)
        self._files = 0
        self.index = self._begun()

    def _begun(self) -> Index:
        self._files += 1
        index = Index(self._folder / f"{self._files}.db")
        self._place.set_app(Service(index, self._api, self._webhook["secret"]))
        return index

    def deliver_events(self) -> None:
        """Deliver all events to the index."""
        relay_of(self.system.container).drain()
        self.operator.relay()
        assert self.operator.state(self._webhook)["waiting"] == 0

    def empty(self) -> None:
        """Replace the index by an empty one, which gets no earlier events."""
        self.deliver_events()
        self.index.close()
        self.index = self._begun()

    def filled(self) -> int:
        return Consumer(self.index, self._api).fill()

    def rebuilt(self) -> None:
        """Replace the index by an empty one, and replay all events."""
        self.empty()
        assert self.operator.ask("POST", f"/{self._webhook['id']}/replay", {"since": "1970-01-01T00:00:00Z"})["events"]
        self.deliver_events()


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    with serving(None) as place, serving(None) as api:
        url = f"http://127.0.0.1:{place.server_port}"
        with running(settings(tmp_path, search_url=url, webhooks_timeout=30.0)) as system:
            api.set_app(system.app.wsgi_app)
            made = Story(system, place, f"http://127.0.0.1:{api.server_port}", tmp_path)
            yield made
            made.index.close()


def test_changes_are_found_and_the_index_can_be_rebuilt(story: Story) -> None:
    ada, bob = story.system.person(), story.system.person()
    tea = ada.publish("Tea ceremony")
    gone = ada.publish("Tea that is deleted")
    bob.publish("Tea of somebody who leaves")
    lamp = ada.post("/products", LAMP | {"title": "Green lamp", "description": "for a tea table"})["product"]["id"]
    story.deliver_events()
    everything = ["Green lamp", "Tea of somebody who leaves", "Tea that is deleted", "Tea ceremony"]
    assert titles(bob, "tea") == everything
    assert titles(story.system.anybody(), "TÉA tab") == ["Green lamp"]
    assert titles(bob, "tea", kind="post") == everything[1:]
    ada.patch(f"/posts/{tea}", {"title": "Coffee ceremony"}, etag="*")
    ada.delete(f"/posts/{gone}", etag="*")
    bob.send("DELETE", "/accounts/me", json={"password": PASSWORD})
    assert titles(ada, "tea") == ["Green lamp", "Coffee ceremony"], "the truth counts before events have come"
    story.deliver_events()
    for _ in range(2):
        assert titles(ada, "tea") == ["Green lamp"]
        assert titles(ada, "ceremony coff") == ["Coffee ceremony"]
        assert [found for found, _ in story.index.find("tea", "", "", 9)] == [lamp], "nothing that is gone is kept"
        story.rebuilt()
    ada.delete(f"/products/{lamp}", etag="*")
    story.deliver_events()
    assert story.index.find("tea", "", "", 9) == []


def test_a_fill_adds_posts_and_products_without_events(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "PER_PAGE", 2)
    ada = story.system.person()
    posts = [ada.publish(f"Tea {number}") for number in range(3)]
    ada.post("/products", LAMP | {"title": "Tea lamp"})
    story.empty()
    ada.patch(f"/posts/{posts[0]}", {"title": "Coffee"}, etag="*")
    story.deliver_events()
    assert story.filled() == len(posts)
    assert titles(ada, "tea") == ["Tea lamp", "Tea 2", "Tea 1"]
    assert titles(ada, "coffee") == ["Coffee"]
    assert story.filled() == 0


def test_pages_follow_one_another(system: System) -> None:
    ada = system.person()
    for number in range(5):
        indexed("post", ada.post("/posts", {"title": f"ladder {number}", "body": "."}))
    seen: list[str] = []
    cursor: dict[str, Any] = {}
    while True:
        page = ada.get("/search", q="ladder", limit=2, **cursor)
        seen += [one["post"]["post"]["title"] for one in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert seen == [f"ladder {number}" for number in (4, 3, 2, 1, 0)]
    assert ada.get("/search", 400, q="other", **cursor)["code"] == "bad_cursor"


def test_cards_are_those_of_their_viewer(system: System) -> None:
    ada, bob = system.person(), system.person()
    card = ada.post("/posts", {"title": "viewers", "body": "."})
    indexed("post", card)
    bob.put(f"/posts/{card['post']['id']}/like")
    (item,) = bob.get("/search", q="viewers")["items"]
    assert item["post"]["viewer"] == {"liked": True, "following_author": False}
    assert item["post"]["stats"]["likes"] == 1
    (item,) = system.anybody().get("/search", q="viewers")["items"]
    assert "viewer" not in item["post"]


@pytest.mark.parametrize(
    "query", ['"', "*", "a AND", "NEAR(", "title:", "(", "-", "^x", "' OR 1=1 --", "🎉", "%", "\\"]
)
def test_nothing_in_a_query_is_syntax(system: System, query: str) -> None:
    assert index(), "which answers from here on"
    assert system.person().get("/search", q=query) == {"items": [], "next": None}


@pytest.mark.parametrize("query", [{}, {"q": ""}, {"q": "x" * 201}, {"q": "a", "kind": "account"}, {"q": "a\x00"}])
def test_invalid_queries_are_refused(system: System, query: dict[str, str]) -> None:
    assert system.anybody().get("/search", 400, **query)["code"] == "bad_query"


def test_without_a_service_there_is_no_search(system: System) -> None:
    system.container.content.search._index = None
    assert system.anybody().get("/search", 501, q="a")["code"] == "search_off"


@pytest.mark.parametrize("answer", ["500", "200", "stall", "drip", "garbage", "endless body", "redirect", "empty"])
def test_a_service_with_a_bad_answer_is_a_503(tmp_path: Path, answer: str) -> None:
    with receiving() as receiver:
        receiver.usual = answer
        url = receiver.url.partition("/hook")[0]
        with running(Settings(**embedded(tmp_path), search_url=url, search_timeout=0.2)) as system:
            assert system.anybody().get("/search", 503, q="a")["code"] == "store_unavailable"
            assert system.anybody().send("GET", "/posts").status_code == 200


def test_an_unavailable_service_is_a_503(tmp_path: Path) -> None:
    with running(Settings(**embedded(tmp_path), search_url=ABSENT)) as system:
        assert system.anybody().get("/search", 503, q="a")["code"] == "store_unavailable"


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    now = datetime.now(UTC)
    signature = Webhook(secret).sign("1", now, body.decode())
    return {
        "HTTP_WEBHOOK_ID": "1",
        "HTTP_WEBHOOK_TIMESTAMP": str(int(now.timestamp())),
        "HTTP_WEBHOOK_SIGNATURE": signature,
    }


@pytest.mark.parametrize(
    ("body", "secret", "status"),
    [
        (b'{"id": "1", "type": "quartet.post.liked.v1", "data": {}}', SECRET, "204"),
        (b'{"id": "1", "type": "quartet.post.edited.v1", "data": {"post_id": "x"}}', SECRET, "503"),
        (b"{}", "whsec_AAAA", "401"),
        (b"no JSON", SECRET, "401"),
    ],
)
def test_answers_of_the_service_to_events(body: bytes, secret: str, status: str) -> None:
    with closing(Index(":memory:")) as index:
        environ: dict[str, Any] = {"REQUEST_METHOD": "POST", "PATH_INFO": "/events", "CONTENT_LENGTH": str(len(body))}
        answers: list[str] = []
        service = Service(index, ABSENT, SECRET)
        sent = environ | signed(body, secret) | {"wsgi.input": BytesIO(body)}
        service(sent, lambda said, _headers: answers.append(said))
        assert answers[0].startswith(status)


def test_an_event_that_comes_again_changes_nothing() -> None:
    with closing(Index(":memory:")) as index:
        index.put("1", Document("a", "post", "ada", "one", ""))
        assert (index.has_taken("1"), index.has_taken("2")) == (True, False)
        index.put("2", Document("a", "post", "ada", "two", "words"))
        assert (index.find("one", "", "", 9), index.find("two wor", "", "", 9)) == ([], [("a", "post")])
        index.remove_all_of("3", "ada")
        assert index.find("two", "", "", 9) == []
    assert matching('a-b "c"') == '"a" "b" "c"*'
