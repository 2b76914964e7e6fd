"""Builds the answers of views from encoded bytes. The bytes are made by `app/services/pages/fragments.py`."""

from collections.abc import Iterable
from typing import Any

from flask import Response, request

from app.http.edge import content_coding
from app.http.edge.caching import JSON, READS
from app.http.edge.conditions import is_known
from app.services.pages.fragments import encode
from app.services.pages.whole_pages import WholePage, tag_of, unversioned

# The first bytes of the body of every list.
LIST = b'{"items":['


def listed(items: Iterable[bytes], onward: str | None, **more: Any) -> bytes:
    """The body of a page of a list. `more` are members beside `items` and `next`."""
    tail = b"".join(b"," + encode(name) + b":" + encode(value) for name, value in more.items())
    return LIST + b",".join(items) + b'],"next":' + encode(onward) + tail + b"}"


def page(items: Iterable[bytes], onward: str | None, **more: Any) -> Response:
    """A page of a list, with an entity tag over the whole body."""
    return checked(unversioned(listed(items, onward, **more)))


def thing(body: bytes, version: int, status: int = 200, location: str | None = None) -> Response:
    """A versioned resource with its entity tag; 304 if If-None-Match has the tag."""
    answer = checked(WholePage(body, tag_of(body, version), version), status)
    if location:
        answer.headers["Location"] = location
    return answer


def checked(made: WholePage, status: int = 200, content_type: str = JSON) -> Response:
    """An answer with its entity tag, compressed if the client accepts that; 304 if If-None-Match has the tag."""
    read = status == 200 and request.method in READS
    used = content_coding.wanted(request.headers.get("Accept-Encoding"), made.body) if read else ""
    sent = request.headers.get("If-None-Match") if read else None
    if sent is not None and is_known(made.etag, sent):
        return Response(status=304, headers={"ETag": content_coding.marked(made.etag, used, sent)})
    answer = Response(made.form(used), status, content_type=content_type)
    if used:
        answer.headers[content_coding.FIELD] = used
    answer.headers["ETag"] = content_coding.marked(made.etag, used)
    return answer


def plain(body: Any, status: int = 200) -> Response:
    return _answer(encode(body), status)


def created(body: bytes, location: str) -> Response:
    """Answer 201 with `Location`, for a new resource that has no version."""
    answer = _answer(body, 201)
    answer.headers["Location"] = location
    return answer


def nothing() -> Response:
    answer = Response(status=204)
    del answer.headers["Content-Type"]
    return answer


def _answer(body: bytes, status: int = 200) -> Response:
    return Response(body, status, content_type=JSON)
