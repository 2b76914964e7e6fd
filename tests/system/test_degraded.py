"""What still works while one store is dead or frozen; the rest is refused in time and in order."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic
from uuid import uuid4

import pytest
from werkzeug.test import TestResponse

from config import Settings
from tests.apps import PASSWORD, Person, System, running
from tests.contracts.relational_store import new_database
from tests.engines import Engines, Server
from tests.engines.kernel import wait_until

ROLES = {
    "relational": "postgres",
    "documents": "mongo",
    "feeds": "cassandra",
    "sessions": "sessions",
    "cache": "cache",
}
TIMEOUTS = {"relational": 0.5, "documents": 0.5, "feeds": 0.5, "sessions": 0.25, "cache": 0.1}
# A request may ask more than one thing of a cache that is silent, and then go on without it.
PATIENCE = 1.5
EVERY = frozenset(ROLES)
ALWAYS = frozenset[str]()
# What each route cannot do without. The cache is in none of them, and the feed store in none either.
NEEDS = {
    "live": ALWAYS,
    "documentation": ALWAYS,
    "register": {"relational"},
    "sign in": {"relational", "sessions"},
    "sign out": {"sessions"},
    "devices": {"sessions"},
    "own account": {"sessions", "relational", "documents"},
    "account": {"relational", "documents"},
    "posts of an account": {"relational", "documents"},
    "followers": {"relational", "documents"},
    "post": {"relational", "documents"},
    "posts": {"relational", "documents"},
    "tags": {"documents"},
    "comments": {"relational", "documents"},
    "products": {"relational", "documents"},
    "feed": {"sessions", "relational", "documents"},
    "publish": {"sessions", "relational", "documents"},
    "edit": {"sessions", "relational", "documents"},
    "delete": {"sessions", "documents"},
    "comment": {"sessions", "relational", "documents"},
    "like": {"sessions", "relational", "documents"},
    "follow": {"sessions", "relational"},
    "block": {"sessions", "relational"},
}


@dataclass
class Town:
    """A system with a few people, posts and a product in it."""

    system: System
    ada: Person
    bob: Person
    posts: list[str]
    product: str

    def calls(self) -> dict[str, Callable[[], TestResponse]]:
        anybody, ada, bob, post = self.system.anybody(), self.ada, self.bob, self.posts[0]
        name = f"n{uuid4().hex[:12]}"
        register = {"handle": name, "email": f"{name}@example.com", "password": PASSWORD, "display_name": "N"}
        login = {"login": bob.handle, "password": PASSWORD}
        draft = {"title": "While it lasts", "body": "Words."}
        match = {"If-Match": "*"}
        return {
            "live": lambda: anybody.send("GET", "/health/live"),
            "documentation": lambda: anybody.send("GET", "/openapi.json"),
            "register": lambda: anybody.send("POST", "/accounts", json=register),
            "sign in": lambda: anybody.send("POST", "/sessions", json=login),
            "devices": lambda: bob.send("GET", "/sessions"),
            "own account": lambda: bob.send("GET", "/accounts/me"),
            "account": lambda: anybody.send("GET", f"/accounts/{ada.handle}"),
            "posts of an account": lambda: anybody.send("GET", f"/accounts/{ada.handle}/posts"),
            "followers": lambda: anybody.send("GET", f"/accounts/{ada.handle}/followers"),
            "post": lambda: anybody.send("GET", f"/posts/{post}"),
            "posts": lambda: anybody.send("GET", "/posts"),
            "tags": lambda: anybody.send("GET", "/tags"),
            "comments": lambda: anybody.send("GET", f"/posts/{post}/comments"),
            "products": lambda: anybody.send("GET", "/products"),
            "feed": lambda: bob.send("GET", "/feed"),
            "publish": lambda: ada.send("POST", "/posts", json=draft),
            "edit": lambda: ada.send("PATCH", f"/posts/{post}", json={"title": "Edited"}, headers=match),
            "delete": lambda: ada.send("DELETE", f"/posts/{self.posts[1]}", headers=match),
            "comment": lambda: bob.send("POST", f"/posts/{post}/comments", json={"body": "Indeed"}),
            "like": lambda: bob.send("PUT", f"/posts/{post}/like"),
            "follow": lambda: ada.send("PUT", f"/accounts/{bob.handle}/follow"),
            "block": lambda: ada.send("PUT", f"/accounts/{self.stranger()}/block"),
            "sign out": lambda: Person(bob.client, self.spare, {}).send("DELETE", "/sessions/current"),
        }
