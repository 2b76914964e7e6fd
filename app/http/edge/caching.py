"""Caching fields of answers: for shared caches and browsers, and about Quartet's own (RFC 9111, 9211, 5861).

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
    """Seconds for which a shared cache may serve an answer, and may serve it stale while it revalidates."""

    seconds: int
    stale: int

    def control(self, most: int) -> str:
        """The header's value. `most` bounds both; with 0 every use is checked, as it always is by browsers."""
        if not most:
            return CHECKED
        fresh, stale = min(self.seconds, most), min(self.stale, most)
        return f"public, max-age=0, s-maxage={fresh}, stale-while-revalidate={stale}"


def shared(seconds: int, stale: int) -> Callable[[View], View]:
    """For a public GET. See `Shared`; `QUARTET_SHARED_SECONDS` bounds both."""

    def declare(view: View) -> View:
        declared: Any = view
        declared.shared = Shared(seconds, stale)
        return view

    return declare


def of_view(view: object) -> Shared | None:
    found: Shared | None = getattr(view, "shared", None)
    return found


def remember(page: WholePage) -> None:
    """For `add_headers`: the answer is this page, which is, or might be, kept whole."""
    g.kept = page


def add_headers(response: Response) -> None:
    """Add what caches are to know. A view that has said so itself is left alone."""
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
    # What a replica has answered may be half a minute late. A shared cache would add its own time to that, for all.
    kept = readable and anonymous and not read_your_writes.is_late()
    if not kept or (status >= 400 and not (status == 404 and policy and _by_id())):
        return PRIVATE
    return policy.control(container().settings.shared_seconds) if policy else CHECKED


def _by_id() -> bool:
    """Whether the thing is named by ids alone. Ids are ours and never given twice: what is not there stays so.

    A number under an id, as a comment has, may be given later.
    """
    named = (request.view_args or {}).values()
    return bool(named) and all(isinstance(value, UUID) for value in named)


def status_of(kept: WholePage | None) -> str:
    """How Quartet's own cache of whole pages took part. A page that could not be kept has no time to live."""
    if kept is None:
        return "quartet; fwd=bypass"
    left = int(kept.fresh_seconds - kept.age_seconds)
    if kept.status == "hit":
        return f"quartet; hit; ttl={left}"
    if kept.status == "stale":
        return f"quartet; hit; ttl={left}; detail=stale"
    return "quartet; fwd=miss; stored" if kept.fresh_seconds else "quartet; fwd=miss"
