"""Public reads that are kept whole for who is not signed in."""

from collections.abc import Callable, Iterable
from typing import Any

from flask import Response, request

from app.http.edge import answers, caching
from app.http.edge.deps import container
from app.services.pages.cards import Card
from app.services.pages.kinds import Used
from app.services.pages.whole_pages import Kept, tag_of, target


def hot(build: Callable[[Used | None], Kept]) -> Response:
    """Answer with what `build` makes, and keep it where it may be kept: `hits.py` has looked, and had nothing.

    `build` tells what it was made of; None where nobody wants to know.
    """
    name = _target()
    if name is None:
        return answers.checked(build(None))
    page = container().pages.whole.keep(name, build)
    caching.remember(page)
    return answers.checked(page)


def kept_thing(card: Card) -> Kept:
    return Kept(card.body, tag_of(card.body, card.version), card.version)


def kept_list(items: Iterable[bytes], onward: str | None, **more: Any) -> Kept:
    body = answers.listed(items, onward, **more)
    return Kept(body, tag_of(body), 0)


def _target() -> str | None:
    if request.method not in caching.READS or "Authorization" in request.headers:
        return None
    return target(request.path, request.query_string.decode("latin-1"))
