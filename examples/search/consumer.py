"""Consumes events. They have ids and no content, so the current content is read from Quartet's API, which makes late or
repeated events harmless.
"""

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

from examples.search.index import Document, Index

PUT = {
    "quartet.post.published.v1": "post",
    "quartet.post.edited.v1": "post",
    "quartet.product.listed.v1": "product",
    "quartet.product.edited.v1": "product",
}
REMOVED = {"quartet.post.deleted.v1": "post", "quartet.product.withdrawn.v1": "product"}
ACCOUNT_DELETED = "quartet.account.deleted.v1"
TYPES = [*PUT, *REMOVED, ACCOUNT_DELETED]
KINDS = ("post", "product")
SECONDS = 5
PER_PAGE = 100


class Away(Exception):
    """Quartet's API does not answer. The event has to be delivered again."""


class Consumer:
    """`api` is Quartet's URL, such as `http://127.0.0.1:8000`."""

    def __init__(self, index: Index, api: str) -> None:
        self._index = index
        self._api = urlsplit(api)

    def take(self, event: dict[str, Any]) -> None:
        """Process one CloudEvent. Events of one subject come in order; repeated ones are ignored. Raises `Away`."""
        id_, type_, data = event["id"], event["type"], event["data"]
        if type_ not in TYPES or self._index.has_taken(id_):
            return
        if type_ == ACCOUNT_DELETED:
            self._index.remove_all_of(id_, data["account_id"])
            return
        kind = PUT.get(type_) or REMOVED[type_]
        document_id = data[f"{kind}_id"]
        found = self._read(f"{kind}s/{document_id}") if type_ in PUT else None
        if found is None:
            self._index.remove(id_, document_id)
        else:
            self._index.put(id_, document_of(kind, found[kind]))

    def fill(self) -> int:
        """Add everything that is missing in the index, while events may be processed. Returns the number of documents
        added. Raises `Away`.
        """
        return sum(self._index.add(document_of(kind, thing)) for kind in KINDS for thing in self._all(kind))

    def _all(self, kind: str) -> Iterator[dict[str, Any]]:
        path = f"{kind}s?limit={PER_PAGE}"
        page = self._read(path)
        while page:
            yield from (item[kind] for item in page["items"])
            page = page["next"] and self._read(f"{path}&cursor={quote(page['next'])}")

    def _read(self, path: str) -> dict[str, Any] | None:
        """Read a path without signing in. None if the thing or its owner does not exist any more."""
        connect = http.client.HTTPSConnection if self._api.scheme == "https" else http.client.HTTPConnection
        connection = connect(self._api.netloc, timeout=SECONDS)
        try:
            connection.request("GET", f"{self._api.path}/api/v1/{path}")
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Away(str(error)) from error
        finally:
            connection.close()
        if answer.status == http.HTTPStatus.NOT_FOUND:
            return None
        if answer.status != http.HTTPStatus.OK:
            raise Away(f"the API answers {answer.status}")
        found: dict[str, Any] = json.loads(body)
        return found


def document_of(kind: str, thing: dict[str, Any]) -> Document:
    owner, text = ("author_id", "body") if kind == "post" else ("seller_id", "description")
    return Document(thing["id"], kind, thing[owner], thing["title"], thing[text])
