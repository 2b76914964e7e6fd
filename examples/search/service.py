"""The WSGI service: `POST /events` receives webhooks, `GET /search` returns ids, `GET /health` is a health check."""

import json
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from standardwebhooks import Webhook, WebhookVerificationError

from examples.search.consumer import Away, Consumer
from examples.search.index import Index

MOST_BODY = 1_000_000
MOST_FOUND = 101
LONGEST_QUERY = 1000
Environ = dict[str, Any]
Start = Callable[[str, list[tuple[str, str]]], Any]


class Service:
    """The service. Webhooks have to be signed with `secret`."""

    def __init__(self, index: Index, api: str, secret: str) -> None:
        self._index = index
        self._consumer = Consumer(index, api)
        self._webhook = Webhook(secret)
        self._routes = {
            ("POST", "/events"): self._take,
            ("GET", "/search"): self._find,
            ("GET", "/health"): self._health,
        }

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        route = self._routes.get((environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")))
        status, answer = route(environ) if route else ("404 Not Found", {})
        body = json.dumps(answer).encode() if status == "200 OK" else b""
        headers = [("Content-Type", "application/json")] if body else []
        start(status, [*headers, ("Content-Length", str(len(body)))])
        return [body]

    def _health(self, _environ: Environ) -> tuple[str, Any]:
        return "200 OK", {}

    def _take(self, environ: Environ) -> tuple[str, Any]:
        size = int(environ.get("CONTENT_LENGTH") or 0)
        if size > MOST_BODY:
            return "413 Content Too Large", None
        body = environ["wsgi.input"].read(size)
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        headers = {name: environ.get(f"HTTP_{name.upper().replace('-', '_')}", "") for name in names}
        try:
            event = self._webhook.verify(body, headers)
        except (WebhookVerificationError, ValueError):
            return "401 Unauthorized", None
        try:
            self._consumer.take(event)
        except Away:
            return "503 Service Unavailable", None
        return "204 No Content", None

    def _find(self, environ: Environ) -> tuple[str, Any]:
        asked = {name: values[-1] for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
        limit, query = asked.get("limit", "20"), asked.get("q", "")
        if not (limit.isascii() and limit.isdigit() and 1 <= int(limit) <= MOST_FOUND) or len(query) > LONGEST_QUERY:
            return "400 Bad Request", None
        found = self._index.find(query, asked.get("kind", ""), asked.get("before", ""), int(limit))
        return "200 OK", {"items": [{"id": id_, "kind": kind} for id_, kind in found]}
