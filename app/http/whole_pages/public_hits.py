"""Kept public pages. They are stored as an anonymous caller sees them; members of the viewer's own are inserted last.

`PublicHits` answers with a kept page before Flask. After a miss, the view builds the page by `hot`, which stores it.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from flask import Flask, Response, request
from msgspec.structs import replace
from werkzeug.exceptions import HTTPException

from app.container import Container
from app.http.edge import answers, caching, content_coding
from app.http.edge.blueprint import BASE
from app.http.edge.deps import container as current
from app.http.edge.deps import viewer as current_viewer
from app.http.whole_pages.admission import Environ, admitted, attempted, failed, has_body
from app.http.whole_pages.replies import NOSNIFF, VARY, Around, Reply, first_fields, replied
from app.services.pages.cards import Card
from app.services.pages.kinds import Used
from app.services.pages.memo import Memo
from app.services.pages.whole_pages import Cut, WholePage, tag_of, target, unversioned

PATHS, HOTTEST = 4096, 128
# A served GET of a post counts as a view.
POST = f"{BASE}/posts/<uuid:post_id>"
PROFILE = f"{BASE}/accounts/<handle:handle>"
POSTS = {POST, f"{BASE}/posts", f"{PROFILE}/posts"}


class Page(NamedTuple):
    """The page that a path asks for.

    It has its name in the cache, its route, its `Cache-Control` for anonymous callers, and the post whose view counts.
    """

    name: str
    rule: str
    control: tuple[str, str]
    post_id: UUID | None


class PublicHits:
    """Called once per request. If it does not answer, its results are passed on to Flask in the WSGI environ."""

    def __init__(self, app: Flask, container: Container) -> None:
        self._app = app
        self._container = container
        self._viewers = container.pages.viewers
        self._pages = container.pages.whole
        self._views = container.content.views
        self._settings = container.settings
        self._cached_fields: dict[tuple[str, str], tuple[WholePage, Around]] = {}
        self._owners: Memo[str, UUID] = Memo()
        # Cached, because most requests are for few paths.
        self._page = lru_cache(PATHS)(self._found)

    def answer(self, environ: Environ) -> Reply | None:
        if environ["REQUEST_METHOD"] not in caching.READS or has_body(environ):
            return None
        page = self._page(environ.get("PATH_INFO", ""), environ.get("QUERY_STRING", ""))
        if page is None:
            return None
        asking = admitted(self._container, environ)
        if asking is None:
            return None
        viewer = asking.viewer
        # Without keys, `look` suffices. Both may answer a hot page from process memory.
        keys = self._beside(page, viewer) if viewer else []
        kept, beside = self._pages.look_beside(page.name, keys) if keys else (self._pages.look(page.name), None)
        if kept is None:
            return None
        if page.rule == PROFILE and kept.cuts and self._owners.get(page.name) != kept.cuts[0].about:
            self._owners.note(page.name, kept.cuts[0].about)
            beside = None
        shown = attempted(environ, lambda: self._viewers.personal(kept, viewer, beside)) if viewer else kept
        if shown is None:
            return None
        used = content_coding.wanted(environ.get("HTTP_ACCEPT_ENCODING"), shown.body)
        around = _private(shown, kept, used) if viewer else self._around(page, kept, used)
        if page.post_id and environ["REQUEST_METHOD"] == "GET":
            self._views.seen(page.post_id)
        return replied(self._app, environ, asking, shown, page.rule, around, used)

    def _beside(self, page: Page, viewer: UUID) -> list[str]:
        """The keys to read in the same round trip as the page.

        A profile's path has a handle, not an id. The keys are those of the account that had the handle when this
        process last saw the page, and none if it has not seen it. The posts of a list are not known yet; most are new
        enough for marks.
        """
        if page.rule in POSTS:
            return self._viewers.keys_of_posts(viewer, page.post_id)
        about = self._owners.get(page.name) if page.rule == PROFILE else None
        return self._viewers.keys_of_account(viewer, about) if about else []

    def _around(self, page: Page, kept: WholePage, used: str) -> Around:
        """The header fields for an anonymous caller, cached for as long as the page is the same object."""
        same = self._cached_fields.get((page.name, used))
        if same is not None and same[0] is kept:
            return same[1]
        age = ("Age", str(int(kept.age_seconds)))
        then = (NOSNIFF, page.control, VARY, age, ("Cache-Status", caching.status_of(kept)))
        if len(self._cached_fields) >= HOTTEST:
            self._cached_fields.clear()
        around = Around(first_fields(kept, used), then)
        self._cached_fields[page.name, used] = kept, around
        return around

    def _found(self, path: str, query: str) -> Page | None:
        """The page for a path and query; None if such a page is not kept whole, or its route not for shared caches."""
        name = target(path, query)
        if name is None:
            return None
        try:
            rule, values = self._app.url_map.bind("").match(path, method="GET", return_rule=True)
        except HTTPException:
            return None
        policy = caching.of_view(self._app.view_functions[rule.endpoint])
        if policy is None:
            return None
        control = policy.control(self._settings.shared_seconds)
        return Page(name, rule.rule, ("Cache-Control", control), values["post_id"] if rule.rule == POST else None)


def _private(shown: WholePage, kept: WholePage, used: str) -> Around:
    then = (NOSNIFF, ("Cache-Control", caching.PRIVATE), VARY, ("Cache-Status", caching.status_of(kept)))
    return Around(first_fields(shown, used), then)


def hot(build: Callable[[Used | None], WholePage]) -> Response:
    """Answer with the page that `build` makes for anonymous callers, and store it if such pages are kept.

    Called by views after `PublicHits` has found no kept page. `build` notes the fragments it uses in its argument,
    which is None if the page is not stored. The viewer's own members are inserted for this answer only.
    """
    failed(request.environ)
    name, who = _target(), current_viewer()
    page = current().pages.whole.keep(name, build) if name else build(None)
    if name:
        caching.remember(page)
    return answers.checked(current().pages.viewers.personal(page, who) if who else page)


def kept_thing(card: Card) -> WholePage:
    page = WholePage(card.body, tag_of(card.body, card.version), card.version)
    return replace(page, cuts=_cuts([card], 0))


def kept_cards(cards: Sequence[Card], onward: str | None) -> WholePage:
    page = kept_list([card.body for card in cards], onward)
    return replace(page, cuts=_cuts(cards, len(answers.LIST)))


def kept_list(items: Iterable[bytes], onward: str | None, **more: Any) -> WholePage:
    return unversioned(answers.listed(items, onward, **more))


def _cuts(cards: Iterable[Card], at: int) -> tuple[Cut, ...]:
    """Where the viewer's own members are inserted: before the closing brace of each card.

    `at` is the offset of the first card in the body. A comma separates the cards.
    """
    cuts = []
    for card in cards:
        at += len(card.body) + 1
        if card.about is not None:
            cuts.append(Cut(at - 2, card.about, card.author))
    return tuple(cuts)


def _target() -> str | None:
    return target(request.path, request.query_string.decode("latin-1")) if request.method in caching.READS else None
