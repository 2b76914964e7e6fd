"""Accounts and posts, and the requests that are sent: the same on each rung."""

import json
import random
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from msgspec import Struct

from tests.apps import Person, System

PEOPLE, POSTS_OF_EACH, FOLLOWED = 40, 15, 12
REQUESTS = 4_000
# The number of each kind in a hundred requests.
READS = {"feed": 50, "post": 20, "comments": 10, "profile": 10, "notifications": 10}
WRITES = {"like": 40, "comment": 20, "publish": 20, "transfer": 20}
SHOPPING = {"products": 20, "order": 80}
SHOPS = 5
LAMP = {
    "title": "Lamp",
    "description": "Of brass.",
    "category": "home",
    "price": {"amount": 1999, "currency": "EUR"},
    "attributes": {"colour": "red"},
}


class Town(Struct, frozen=True):
    """`people` are signed in; `posts` and `products` are ids."""

    people: list[Person]
    posts: list[str]
    products: list[str] = []

    def requests(self, mix: dict[str, int], seed: int) -> list[bytes]:
        """Draw `REQUESTS` requests: enough that none is sent twice in a measurement."""
        chance = random.Random(seed)  # noqa: S311  no secret
        kinds = chance.choices(list(mix), weights=list(mix.values()), k=REQUESTS)
        return [self._request(kind, chance) for kind in kinds]

    def _request(self, kind: str, chance: random.Random) -> bytes:
        who, other = chance.sample(self.people, 2)
        post = chance.choice(self.posts)
        amount, product = {"amount": 1, "currency": "EUR"}, chance.choice(self.products or [""])
        # Buyers are among the people who sell nothing.
        who = self.people[chance.randrange(SHOPS, len(self.people))] if kind == "order" else who
        asked: dict[str, tuple[str, str, Any]] = {
            "feed": ("GET", "/feed", None),
            "post": ("GET", f"/posts/{post}", None),
            "comments": ("GET", f"/posts/{post}/comments", None),
            "profile": ("GET", f"/accounts/{other.handle}", None),
            "notifications": ("GET", "/notifications", None),
            "like": ("PUT", f"/posts/{post}/like", None),
            "comment": ("POST", f"/posts/{post}/comments", {"body": "So it is."}),
            "publish": ("POST", "/posts", {"title": "News", "body": "Some words."}),
            "transfer": ("POST", "/wallet/transfers", {"to": other.handle, "amount": amount}),
            "products": ("GET", "/products", None),
            "order": ("POST", "/orders", {"lines": [{"product_id": product, "quantity": 1}]}),
        }
        return _http(who, *asked[kind])


def settle(system: System) -> Town:
    """Register people, each with `FOLLOWED` followees and `POSTS_OF_EACH` posts."""
    people = [system.person().rich() for _ in range(PEOPLE)]
    for number, person in enumerate(people):
        for other in _following(people, number):
            person.put(f"/accounts/{other.handle}/follow")
    posts = [person.publish() for person in people for _ in range(POSTS_OF_EACH)]
    system.relay.drain()
    return Town(people, posts)


def stocked(town: Town) -> Town:
    """The same town, in which the first `SHOPS` people sell a product."""
    return Town(town.people, town.posts, [_lamp(seller) for seller in town.people[:SHOPS]])


def _lamp(seller: Person) -> str:
    lamp = str(seller.post("/products", LAMP)["product"]["id"])
    seller.put(f"/products/{lamp}/stock", {"on_hand": 10**6}, 200, etag="*")
    return lamp


def _following(people: Sequence[Person], number: int) -> list[Person]:
    return [people[(number + 1 + step) % len(people)] for step in range(FOLLOWED)]


def _http(who: Person, method: str, path: str, body: Any) -> bytes:
    head = [f"{method} /api/v1{path} HTTP/1.1", "Host: x", f"Authorization: Bearer {who.token}"]
    content = b"" if body is None else json.dumps(body).encode()
    if method == "POST":
        head += [f"Idempotency-Key: {uuid4()}", "Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*head, "", ""]).encode() + content
