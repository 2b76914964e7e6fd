"""Caching fields of answers: `Cache-Control`, `Vary`, `Age` and `Cache-Status` (RFC 9111, 9211, 5861).

A view declares how long shared caches may keep its anonymous answers. All other answers are private.
"""

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from flask import Response, current_app, g, request
from msgspec import Struct

from app.http.edge.deps import container
from app.services.pages.whole_pages import WholePage
from repositories import read_your_writes

View = TypeVar("View", bound=Callable[..., Any])
JSON = "application/json"
READS = frozenset({"GET", "HEAD"})
PRIVATE = "private, no-store"
CHECKED = "no-cache"
VARY = ("Authorization", "Accept-Encoding")


class Shared(Struct, frozen=True):
    """How long a shared cache may serve an answer as fresh, and stale while it revalidates. Both in seconds."""

    seconds: int
    stale: int

    def control(self, most: int) -> str:
        """The value of `Cache-Control`. `most` (seconds) bounds both; with 0 every use has to be revalidated.

        Browsers always have to revalidate.
        """
        if not most:
            return CHECKED
        fresh, stale = min(self.seconds, most), min(self.stale, most)
        return f"public, max-age=0, s-maxage={fresh}, stale-while-revalidate={stale}"


def shared(seconds: int, stale: int) -> Callable[[View], View]:
    """Declare how long shared caches may keep a public GET. See `Shared`; `QUARTET_SHARED_SECONDS` bounds both."""

    def declare(view: View) -> View:
        declared: Any = view
        declared.shared = Shared(seconds, stale)
        return view

    return declare


def of_view(view: object) -> Shared | None:
    found: Shared | None = getattr(view, "shared", None)
    return found


def remember(page: WholePage) -> None:
    """Tell `add_headers` that the answer is this page, which is a whole page (stored, or made just now)."""
    g.kept = page


def add_headers(response: Response) -> None:
    """Add the caching fields. A `Cache-Control` that the view has set stays."""
    anonymous = "Authorization" not in request.headers
    policy = of_view(current_app.view_functions.get(request.endpoint or "")) if request.method in READS else None
    response.headers.setdefault("Cache-Control", _control(response.status_code, policy, anonymous=anonymous))
    response.vary.update(VARY)
    if policy is not None:
        kept = g.get("kept")
        if anonymous and kept is not None and kept.status != "miss":
            response.headers["Age"] = str(int(kept.age_seconds))
        response.headers["Cache-Status"] = status_of(kept)


def _control(status: int, policy: Shared | None, *, anonymous: bool) -> str:
    readable = request.method in READS or request.method == "OPTIONS"
    # A replica's answer may be up to half a minute old. A shared cache would add its own time to that, for everybody.
    kept = readable and anonymous and not read_your_writes.is_late()
    if not kept or (status >= 400 and not (status == 404 and policy and _by_id())):
        return PRIVATE
    return policy.control(container().settings.shared_seconds) if policy else CHECKED


def _by_id() -> bool:
    """Whether the path names the resource by ids alone, so that its 404 may be cached.

    Ids are made by the server and never reused, so a missing resource never appears later. A number under an id, as of
    a comment, may be assigned later.
    """
    named = (request.view_args or {}).values()
    return bool(named) and all(isinstance(value, UUID) for value in named)


def status_of(kept: WholePage | None) -> str:
    """The value of `Cache-Status` for Quartet's own cache of whole pages.

    `kept` is None for an answer that is no whole page. A page that could not be stored has `fresh_seconds` of 0.
    """
    if kept is None:
        return "quartet; fwd=bypass"
    left = int(kept.fresh_seconds - kept.age_seconds)
    if kept.status == "hit":
        return f"quartet; hit; ttl={left}"
    if kept.status == "stale":
        return f"quartet; hit; ttl={left}; detail=stale"
    return "quartet; fwd=miss; stored" if kept.fresh_seconds else "quartet; fwd=miss"
