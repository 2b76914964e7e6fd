"""Public reads that are kept whole for who is not signed in."""

from collections.abc import Callable, Iterable
from typing import Any

from flask import Response, request

from app.http import caching, rendering
from app.http.deps import container
from app.services.cards import Card
from app.services.hot_pages import LOOKED, Kept, tag_of, target
from repositories.readthrough import Used


def hot(build: Callable[[Used | None], Kept]) -> Response:
    """Answer with the kept page, or with what `build` makes, which is then kept where it may be.

    `build` tells what it was made of; None where nobody wants to know.
    """
    name = _target()
    if name is None:
        return rendering.checked(build(None))
    pages = container().pages
    looked = None if request.environ.get(LOOKED) else pages.look(name)
    return caching.kept_page(looked or pages.keep(name, build))


def kept_thing(card: Card) -> Kept:
    return Kept(card.body, tag_of(card.body, card.version), card.version)


def kept_list(items: Iterable[bytes], onward: str | None, **more: Any) -> Kept:
    body = rendering.listed(items, onward, **more)
    return Kept(body, tag_of(body), 0)


def _target() -> str | None:
    if request.method not in caching.READS or "Authorization" in request.headers:
        return None
    return target(request.path, request.query_string.decode("latin-1"))
