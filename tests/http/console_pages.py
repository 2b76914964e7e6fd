"""Helpers for tests that read pages of the console."""

import re
from html.parser import HTMLParser
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.http.console.panels import PANELS
from repositories.errors import Unavailable
from repositories.read_your_writes import HostState
from tests.apps import System

TOKEN = "a token that only operators of this system have"
PAGES = ["", *(f"/{name}" for name in PANELS), "/dead-letters", "/feed", "/live/follow"]
HTMX = {"HX-Request": "true"}


class FailingStore:
    """A store whose every call fails."""

    replicated = False

    def __init__(self, role: str) -> None:
        self._role = role

    def __getattr__(self, name: str) -> "FailingStore":
        return self

    def __call__(self, *_: object, **__: object) -> Any:
        raise Unavailable(self._role, "<b>no route</b> to db-1.internal")

    def hosts(self) -> list[HostState]:
        return [HostState("db-1.internal:5432", "away")]

    def close(self) -> None: ...


class PolicyViolations(HTMLParser):
    """Collects what a strict content security policy would block, the ids, and the text outside of tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.refused: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.ids += filter(None, [found.get("id")])
        if tag in {"style", "iframe", "object", "base"} or (tag == "script" and "src" not in found):
            self.refused.append(tag)
        for name, value in attributes:
            if name == "style" or name.startswith(("on", "hx-on")):
                self.refused.append(name)
            if name in {"src", "href", "action"} and not (value or "").startswith(("/", "#", "?")):
                self.refused.append(f"{name}={value}")

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"


def signed_in(system: System) -> FlaskClient:
    client = system.app.test_client()
    assert client.post("/console/sign-in", data={"token": TOKEN}).status_code == 303
    return client


def form_token(client: FlaskClient) -> str:
    found = re.search(r'name="form_token" value="([^"]+)"', client.get("/console/dead-letters/relational/all").text)
    assert found
    return found[1]


def shown(answer: TestResponse, status: int = 200) -> str:
    """The page's text, after checks that apply to every page."""
    assert answer.status_code == status, answer.text
    assert answer.content_type == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    found = PolicyViolations(answer.text)
    assert not found.refused
    assert len(found.ids) == len(set(found.ids))
    return " ".join(found.text.split())


def why(console: FlaskClient, reader: str, **query: str) -> dict[str, str]:
    """The words in the last column of the page's table, by post, in the order of the page."""
    answer = console.get("/console/feed", query_string={"reader": reader, **query})
    shown(answer)
    rows = re.findall(r"<tr>\n<th scope=\"row\">.*?</tr>", answer.text, re.DOTALL)
    ids = [re.search(r"<code class=\"note\">(.{36})</code>", row) for row in rows]
    states = [re.findall(r'class="state \w+">([^<]+)<', row) for row in rows]
    return {found[1]: " ".join(words) for found, words in zip(ids, states, strict=True) if found}
