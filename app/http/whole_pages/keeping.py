"""Public reads whose pages are kept whole, as everybody sees them. What is the viewer's own is put in at the end."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from flask import Response, request
from msgspec.structs import replace

from app.http.edge import answers, caching
from app.http.edge.deps import container, viewer
from app.http.whole_pages.admission import failed
from app.services.pages.cards import Card
from app.services.pages.kinds import Used
from app.services.pages.whole_pages import Cut, WholePage, tag_of, target, unversioned


def hot(build: Callable[[Used | None], WholePage]) -> Response:
    """Answer with the page that `build` makes for everybody, and store it where it may be kept.

    `hits.py` has found none. `build` notes the fragments it uses in its argument, which is None where the page is not
    stored.
    """
    failed(request.environ)
    name, who = _target(), viewer()
    page = container().pages.whole.keep(name, build) if name else build(None)
    if name:
        caching.remember(page)
    return answers.checked(container().pages.viewers.personal(page, who) if who else page)


def kept_thing(card: Card) -> WholePage:
    page = WholePage(card.body, tag_of(card.body, card.version), card.version)
    return replace(page, cuts=_cuts([card], 0))


def kept_cards(cards: Sequence[Card], onward: str | None) -> WholePage:
    page = kept_list([card.body for card in cards], onward)
    return replace(page, cuts=_cuts(cards, len(answers.LIST)))


def kept_list(items: Iterable[bytes], onward: str | None, **more: Any) -> WholePage:
    return unversioned(answers.listed(items, onward, **more))


def _cuts(cards: Iterable[Card], at: int) -> tuple[Cut, ...]:
    """`at` is where the first of them begins in the body; a comma is between them."""
    cuts = []
    for card in cards:
        at += len(card.body) + 1
        if card.about is not None:
            cuts.append(Cut(at - 2, card.about, card.author))
    return tuple(cuts)


def _target() -> str | None:
    return target(request.path, request.query_string.decode("latin-1")) if request.method in caching.READS else None
