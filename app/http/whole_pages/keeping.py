"""Public reads whose pages are kept whole for callers who are not signed in."""

from collections.abc import Callable, Iterable
from typing import Any

from flask import Response, request

from app.http.edge import answers, caching
from app.http.edge.deps import container
from app.services.pages.cards import Card
from app.services.pages.kinds import Used
from app.services.pages.whole_pages import WholePage, tag_of, target, unversioned


def hot(build: Callable[[Used | None], WholePage]) -> Response:
    """Answer with the page that `build` makes, and store it where it may be kept. `hits.py` has found none.

    `build` notes the fragments it uses in its argument, which is None where the page is not stored.
    """
    name = _target()
    if name is None:
        return answers.checked(build(None))
    page = container().pages.whole.keep(name, build)
    caching.remember(page)
    return answers.checked(page)


def kept_thing(card: Card) -> WholePage:
    return WholePage(card.body, tag_of(card.body, card.version), card.version)


def kept_list(items: Iterable[bytes], onward: str | None, **more: Any) -> WholePage:
    return unversioned(answers.listed(items, onward, **more))


def _target() -> str | None:
    if request.method not in caching.READS or "Authorization" in request.headers:
        return None
    return target(request.path, request.query_string.decode("latin-1"))
