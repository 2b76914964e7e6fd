"""A whole system for one test: container, Flask application and a client that speaks JSON."""

import functools
import hashlib
import itertools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import marshmallow as ma
import pytest
from apispec.ext.marshmallow.common import resolve_schema_instance
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.clock import Clock, utc_now
from app.container import Container, build
from app.http import create_app
from app.http.document.problem_codes import PROBLEMS
from app.http.edge.deps import CONTAINER
from app.services.people.mailed_tokens import LIFETIME
from app.services.people.sessions import digest
from app.worker.running import relay_of, sweeper_of
from config import Settings
from repositories.relational.mail_tokens_port import Purpose
from repositories.sqlite.file import path_of
from tests import search_service
from tests.settable_clock import Clock as SettableClock

BASE = "/api/v1"
PASSWORD = "correct horse battery staple"
RELATIONAL = ["embedded", pytest.param("postgres", marks=pytest.mark.engines)]
# For tests whose routes and statements other tests already run on PostgreSQL.
PROVED_ON_POSTGRES = ["embedded", pytest.param("postgres", marks=[pytest.mark.engines, pytest.mark.proof])]
ROLES = ("relational", "documents", "feeds", "sessions", "cache")
_names = itertools.count(1)


class PlainHasher:
    """A hasher that costs nothing. The real one has its own tests."""

    def hash(self, password: str) -> str:
        return f"plain:{password}"

    def verify(self, digest: str | None, password: str) -> bool:
        return digest == f"plain:{password}"

    def derive(self, password: str, salt: bytes) -> bytes:
        return hashlib.sha256(salt + password.encode()).digest()


def embedded(directory: Path) -> dict[str, Any]:
    """Settings with all roles in one SQLite file. All clients have the same address, so registrations are unlimited."""
    return {f"{role}_url": f"sqlite:///{directory}/quartet.db" for role in ROLES} | {"registrations": 0}


@contextmanager
def running(settings: Settings, clock: Clock = utc_now, database_clock: Clock | None = None) -> Iterator["System"]:
    """A system with migrated stores. `database_clock` is the database's clock; by default it is `clock`."""
    url, *others = {getattr(settings, f"{role}_url") for role in ROLES}
    fresh = not others and url.startswith("sqlite:") and _prepare(path_of(url))
    leading = database_clock or clock
    if settings.relational_url.startswith("postgresql") and isinstance(leading, SettableClock):
        leading.lead(settings.relational_url)
    settings = settings if settings.search_url else replace(settings, search_url=search_service.url())
    container = build(settings, clock=clock, hasher=PlainHasher(), database_clock=database_clock)
    try:
        if not fresh:
            container.stores.migrate()
        yield System(container)
    finally:
        container.close()


def _prepare(file: Path) -> bool:
    """Copy a migrated file there if none exists, since creating the tables would be the slowest part of a test."""
    if file.exists():
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(_migrated())
    return True


@functools.cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        urls = embedded(Path(directory))
        container = build(Settings(**urls), hasher=PlainHasher())
        container.stores.migrate()
        container.close()
        return path_of(urls["relational_url"]).read_bytes()


class System:
    def __init__(self, container: Container) -> None:
        self.container = container
        self.app = create_app(container)
        self.relay = relay_of(container)
        self.sweeper = sweeper_of(container)

    def person(self, handle: str | None = None) -> "Person":
        """Register somebody new and sign them in."""
        name = handle or f"person_{next(_names)}"
        anybody = self.anybody()
        body = {"handle": name, "email": f"{name}@example.com", "password": PASSWORD, "display_name": name.title()}
        account = anybody.post("/accounts", body, 201)["account"]
        token = anybody.post("/sessions", {"login": name, "password": PASSWORD}, 201)["token"]
        return Person(self.app.test_client(), token, account)

    def anybody(self) -> "Person":
        return Person(self.app.test_client(), None, {})


@dataclass
class Person:
    """A client of the API; `account` is empty for somebody who is not signed in."""

    client: FlaskClient
    token: str | None
    account: dict[str, Any]

    @property
    def handle(self) -> str:
        return str(self.account["handle"])

    def send(self, method: str, path: str, **options: Any) -> TestResponse:
        headers = dict(options.pop("headers", {}))
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        url = path if path.startswith(("/health", "/docs", "/openapi")) else BASE + path
        response = self.client.open(url, method=method, headers=headers, **options)
        _check_documented(response, self.client.application)
        return response

    def get(self, path: str, status: int = 200, **query: Any) -> Any:
        return _checked(self.send("GET", path, query_string=query), status)

    def post(self, path: str, body: Any = None, status: int = 201) -> Any:
        return _checked(self.send("POST", path, json=body), status)

    def pay(self, path: str, body: Any = None, status: int = 201, key: str | None = None) -> Any:
        """A POST with an idempotency key, by default a fresh one."""
        return _checked(self.keyed(path, body, key or str(uuid4())), status)

    def keyed(self, path: str, body: Any, key: str) -> TestResponse:
        options = {} if body is None else {"json": body}
        return self.send("POST", path, headers={"Idempotency-Key": key}, **options)

    def rich(self, amount: int = 1_000_000, currency: str = "EUR") -> "Person":
        """Deposit this amount into the wallet; returns the person."""
        self.pay("/wallet/deposits", {"amount": {"amount": amount, "currency": currency}})
        return self

    def available(self, currency: str = "EUR") -> int:
        found = [b["available"]["amount"] for b in self.get("/wallet")["items"] if b["currency"] == currency]
        return int(found[0]) if found else 0

    def put(self, path: str, body: Any = None, status: int = 204, etag: str | None = None) -> Any:
        headers = {"If-Match": etag} if etag else {}
        options = {} if body is None else {"json": body}
        return _checked(self.send("PUT", path, headers=headers, **options), status)

    def patch(self, path: str, body: Any, status: int = 200, etag: str | None = None) -> Any:
        headers = {"If-Match": etag} if etag else {}
        return _checked(self.send("PATCH", path, headers=headers, json=body), status)

    def delete(self, path: str, status: int = 204, etag: str | None = None) -> Any:
        headers = {"If-Match": etag} if etag else {}
        return _checked(self.send("DELETE", path, headers=headers), status)

    def etag(self, path: str) -> str:
        return self.send("GET", path).headers["ETag"]

    def mailed(self, purpose: Purpose) -> str:
        """Issue a token like those that this person gets by mail."""
        container: Container = self.client.application.extensions[CONTAINER]
        token, expires_at = uuid4().hex, container.kit.clock() + LIFETIME[purpose]
        login = container.people.accounts.login(UUID(self.account["id"]))
        with container.stores.relational.transaction() as tx:
            tx.mail_tokens.put(login, purpose, digest(token), expires_at=expires_at)
        return token

    def publish(self, title: str = "A post", **more: Any) -> str:
        """Publish a post; returns its id."""
        card = self.post("/posts", {"title": title, "body": "Some words.", **more})
        return str(card["post"]["id"])

    def feed(self, limit: int = 20) -> list[str]:
        """The ids of the whole home feed, read page by page."""
        return list(self.walk("/feed", limit))

    def walk(self, path: str, limit: int = 20, **query: Any) -> Iterator[str]:
        cursor: dict[str, Any] = {}
        while True:
            page = self.get(path, limit=limit, **query, **cursor)
            yield from (item["post"]["id"] for item in page["items"])
            if page["next"] is None:
                return
            cursor = {"cursor": page["next"]}


def _checked(response: TestResponse, status: int) -> Any:
    """The JSON body, after checks that apply to every answer."""
    assert response.status_code == status, response.get_data(as_text=True)
    assert response.headers["X-Request-Id"]
    if status >= 400:
        assert response.content_type == "application/problem+json"
        problem = response.get_json(force=True)
        assert problem["status"] == status
        assert problem["request_id"] == response.headers["X-Request-Id"]
        assert problem["code"] in PROBLEMS
        return problem
    return response.get_json(force=True) if response.data else None


def _check_documented(response: TestResponse, app: Flask) -> None:
    """Check that a successful body matches the route's schema exactly. Compressed bodies have their own test."""
    if response.status_code >= 300 or not response.is_json or response.content_encoding:
        return
    sent = response.request
    endpoint, _ = app.url_map.bind("").match(sent.path, method=sent.method)
    documented = getattr(app.view_functions[endpoint], "_apidoc", None)
    if documented is not None:
        schema = documented["response"]["responses"][response.status_code][0]["schema"]
        resolve_schema_instance(schema).load(response.get_json(), unknown=ma.RAISE)
