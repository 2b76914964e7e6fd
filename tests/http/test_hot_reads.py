"""Hot reads: their cost when warm, that every change shows at once, and that nothing personal is shared.

Each test has its own system, whose relay runs only on demand: changes that show at once are due to the writes alone.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.clock import utc_now
from config import Settings
from tests.apps import BASE, Person, System, embedded, running
from tests.http.test_budgets import cost
from tests.http.world import LAMP

PAGE = 20


class PreparedDatabase(NamedTuple):
    """A database file to start from, the person who wrote its content, and the paths of its whole pages."""

    file: bytes
    token: str | None
    account: dict[str, Any]
    paths: dict[str, str]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> PreparedDatabase:
    folder = tmp_path_factory.mktemp("shop")
    with running(Settings(**embedded(folder))) as made:
        ada = made.person()
        paths = written(ada)
    return PreparedDatabase((folder / "quartet.db").read_bytes(), ada.token, ada.account, paths)


def written(ada: Person) -> dict[str, str]:
    posts = [ada.publish(f"Post {n}", tags=["lamps"]) for n in range(PAGE + 2)]
    return {
        "post": f"/posts/{posts[-1]}",
        "product": f"/products/{[offered(ada) for _ in range(PAGE + 2)][-1]}",
        "account": f"/accounts/{ada.handle}",
        "posts": "/posts",
        "tags": "/tags",
        "account posts": f"/accounts/{ada.handle}/posts",
        "products": "/products",
    }


@pytest.fixture
def system(shop: PreparedDatabase, tmp_path: Path) -> Iterator[System]:
    (tmp_path / "quartet.db").write_bytes(shop.file)
    with running(Settings(**embedded(tmp_path))) as made:
        yield made


@pytest.fixture
def client(system: System) -> FlaskClient:
    return system.app.test_client()


def read(client: FlaskClient, path: str) -> TestResponse:
    return client.get(BASE + path)


def offered(seller: Person, on_hand: int = 10) -> str:
    product = str(seller.post("/products", LAMP)["product"]["id"])
    seller.put(f"/products/{product}/stock", {"on_hand": on_hand}, 200, etag="*")
    return product


@pytest.fixture
def ada(shop: PreparedDatabase, system: System) -> Person:
    return Person(system.app.test_client(), shop.token, shop.account)


@pytest.fixture
def paths(shop: PreparedDatabase) -> dict[str, str]:
    return shop.paths


KINDS = ["post", "product", "account", "posts", "tags", "account posts", "products"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_warm_page_is_one_round_trip(client: FlaskClient, paths: dict[str, str], kind: str) -> None:
    made = read(client, paths[kind])
    kept = read(client, paths[kind])
    assert cost(kept) == {"cache": 1}
    assert (kept.data, kept.headers["ETag"]) == (made.data, made.headers["ETag"])
    same = client.get(BASE + paths[kind], headers={"If-None-Match": made.headers["ETag"]})
    assert (same.status_code, same.data, cost(same)) == (304, b"", {"cache": 1})


# Pages with a viewer's part, which costs one statement in the relational store besides the session and the page.
OWN = {"post", "account", "posts", "account posts"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_signed_in_reader_uses_the_same_cached_page(system: System, paths: dict[str, str], kind: str) -> None:
    bob = system.person()
    for _ in range(2):
        answer = bob.send("GET", paths[kind])
    own = {"relational": 1} if kind in OWN else {}
    assert cost(answer) == {"sessions": 1, "cache": 1} | own


@pytest.mark.parametrize("kind", KINDS)
def test_shared_pages_hold_nothing_personal(
    system: System, client: FlaskClient, paths: dict[str, str], kind: str
) -> None:
    bob = system.person()
    mine = bob.get(paths[kind])
    for path in (paths[kind], paths[kind]):
        theirs = read(client, path)
        assert b"viewer" not in theirs.data
        assert b"@example.com" not in theirs.data
        assert without_viewer(mine) == theirs.json


def without_viewer(body: Any) -> Any:
    for card in body.get("items", [body]):
        card.pop("viewer", None)
    if "next" in body:
        body["next"] = body["next"] and str(body["next"])
    return body


Change = Callable[[System, Person, dict[str, str]], object]
ALL_POSTS = {"post", "posts", "account posts"}


def _liked(system: System, _: Person, paths: dict[str, str]) -> object:
    return system.person().put(f"{paths['post']}/like")


def _commented(system: System, _: Person, paths: dict[str, str]) -> object:
    return system.person().post(f"{paths['post']}/comments", {"body": "Well said."})


def _edited(_system: System, ada: Person, paths: dict[str, str]) -> object:
    return ada.patch(paths["post"], {"title": "Other"}, etag="*")


def _tagged(_system: System, ada: Person, paths: dict[str, str]) -> object:
    return ada.patch(paths["post"], {"tags": ["torches"]}, etag="*")


def _deleted(_system: System, ada: Person, paths: dict[str, str]) -> object:
    return ada.delete(paths["post"], etag="*")


def _published(_system: System, ada: Person, _paths: dict[str, str]) -> object:
    return ada.publish("New", tags=["torches"])


def _renamed(_system: System, ada: Person, _paths: dict[str, str]) -> object:
    return ada.patch("/accounts/me", {"display_name": "Countess"}, etag="*")


def _followed(system: System, ada: Person, _paths: dict[str, str]) -> object:
    return system.person().put(f"/accounts/{ada.handle}/follow")


def _ordered(system: System, _: Person, paths: dict[str, str]) -> object:
    lines = [{"product_id": paths["product"].split("/")[-1], "quantity": 1}]
    return system.person().rich().pay("/orders", {"lines": lines})


def _stocked(_system: System, ada: Person, paths: dict[str, str]) -> object:
    return ada.put(f"{paths['product']}/stock", {"on_hand": 3}, 200, etag="*")


def _repriced(_system: System, ada: Person, paths: dict[str, str]) -> object:
    return ada.patch(paths["product"], {"price": {"amount": 7, "currency": "EUR"}}, etag="*")


def _offered(_system: System, ada: Person, _paths: dict[str, str]) -> object:
    return ada.post("/products", LAMP)


def _withdrawn(_system: System, ada: Person, paths: dict[str, str]) -> object:
    return ada.delete(paths["product"], etag="*")


CHANGES: list[tuple[Change, set[str]]] = [
    (_liked, ALL_POSTS),
    (_commented, ALL_POSTS),
    (_edited, ALL_POSTS),
    (_tagged, {*ALL_POSTS, "tags"}),
    (_deleted, {*ALL_POSTS, "account", "tags"}),
    (_published, {"posts", "account posts", "account", "tags"}),
    (_renamed, {*ALL_POSTS, "account", "product", "products"}),
    (_followed, {"account"}),
    (_ordered, {"product", "products"}),
    (_stocked, {"product", "products"}),
    (_repriced, {"product", "products"}),
    (_offered, {"products"}),
    (_withdrawn, {"product", "products"}),
]


@pytest.mark.parametrize(("change", "changed"), CHANGES, ids=lambda one: getattr(one, "__name__", ""))
def test_a_change_is_seen_at_once_and_other_pages_stay(
    system: System, client: FlaskClient, ada: Person, paths: dict[str, str], change: Change, changed: set[str]
) -> None:
    before = {kind: read(client, paths[kind]) for kind in KINDS}
    change(system, ada, paths)
    for kind in KINDS:
        now = read(client, paths[kind])
        if kind in changed:
            assert now.data != before[kind].data, kind
            assert now.headers.get("ETag") != before[kind].headers["ETag"]
        else:
            assert now.data == before[kind].data, kind
            assert cost(now) == {"cache": 1}, kind


def test_a_handle_moves_with_its_account(system: System, client: FlaskClient, ada: Person) -> None:
    old, new = ada.handle, f"{ada.handle}_2"
    assert read(client, f"/accounts/{new}").status_code == 404
    assert read(client, f"/accounts/{old}").json == read(client, f"/accounts/{old.upper()}").json
    ada.patch("/accounts/me", {"handle": new}, etag="*")
    assert read(client, f"/accounts/{old}").status_code == 404
    assert read(client, f"/accounts/{new}").json["account"]["handle"] == new  # type: ignore[index]  # it is JSON
    bob = system.person()
    with patch.object(system.container.people.accounts, "_clock", lambda: utc_now() + timedelta(days=31)):
        bob.patch("/accounts/me", {"handle": old}, etag="*")
    found = read(client, f"/accounts/{old}").json
    assert found
    assert found["account"]["id"] == bob.get("/accounts/me")["account"]["id"]
    assert read(client, f"/accounts/{old}/posts").json == {"items": [], "next": None}


@pytest.mark.parametrize("limit", [1, 19, 20, 21, 22, 100])
@pytest.mark.parametrize("kind", ["posts", "account posts", "products"])
def test_pages_of_any_length_continue_where_they_end(
    client: FlaskClient, paths: dict[str, str], kind: str, limit: int
) -> None:
    name = "product" if kind == "products" else "post"
    seen: list[str] = []
    onward: Any = ""
    while onward is not None:
        page: Any = read(client, f"{paths[kind]}?limit={limit}{onward and '&cursor=' + onward}").json
        assert len(page["items"]) <= limit
        seen += [card[name]["id"] for card in page["items"]]
        onward = page["next"]
    assert len(seen) == len(set(seen)) == PAGE + 2
    assert seen == sorted(seen, reverse=True)


def test_its_events_drop_the_pages_again(system: System, client: FlaskClient, paths: dict[str, str]) -> None:
    """So a writer that died before its drop leaves no old page."""
    before = {kind: read(client, paths[kind]) for kind in KINDS}
    while system.relay.drain():
        pass
    for kind in KINDS:
        now = read(client, paths[kind])
        assert now.data == before[kind].data
        assert cost(now) != {"cache": 1}, kind


def test_an_unknown_thing_is_not_kept(client: FlaskClient, ada: Person) -> None:
    post = ada.publish()
    ada.delete(f"/posts/{post}", etag="*")
    for _ in range(2):
        assert read(client, f"/posts/{post}").status_code == 404
        assert read(client, "/accounts/nobody_here").status_code == 404
