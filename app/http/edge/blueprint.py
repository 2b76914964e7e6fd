"""flask-smorest's blueprint with the strict parser, access marks and one line for a view's errors."""

import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import flask_smorest

from app.http.edge.body import StrictParser
from app.http.edge.deps import session
from app.http.edge.status_names import component

View = TypeVar("View", bound=Callable[..., Any])
BASE = "/api/v1"
# What is documented of the answer to whoever makes a thing.
LOCATION = {"Location": {"schema": {"type": "string"}}}


class Blueprint(flask_smorest.Blueprint):
    ARGUMENTS_PARSER = StrictParser()

    def __init__(self, name: str, about: str, prefix: str = BASE) -> None:
        self._documented: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        super().__init__(name, __name__, url_prefix=prefix, description=about)

    def arguments(self, schema: Any, *, location: str = "json", **options: Any) -> Any:
        """A query's schema is made once. webargs would make one for each request, which costs more than reading it."""
        return super().arguments(schema() if location == "query" else schema, location=location, **options)

    def raises(self, *statuses: int) -> Callable[[View], View]:
        """Document the errors of a view, in addition to those of every view."""

        return functools.partial(documented_errors, statuses=statuses)

    def conditional(self, view: View) -> View:
        """Document a change that needs If-Match."""
        header = {
            "name": "If-Match",
            "in": "header",
            "required": True,
            "schema": {"type": "string"},
            "description": "The entity tag the change is based on, or `*`.",
        }
        return documented_errors(described(view, parameters=[header]), (412, 428))

    @staticmethod
    def doc(**about: Any) -> Callable[[View], View]:
        return functools.partial(described, **about)

    def _store_endpoint_docs(self, *route: Any, **options: Any) -> None:
        """Later: it copies all that is documented of the view, which a server's start does not need."""
        self._documented.append((route, options))

    def register_views_in_doc(self, *args: Any, **options: Any) -> None:
        """Again and again, as when two threads ask for the document at once: it is the same each time."""
        for route, how in self._documented:
            super()._store_endpoint_docs(*route, **how)
        super().register_views_in_doc(*args, **options)

    def _prepare_arguments_doc(self, doc: Any, doc_info: Any, **context: Any) -> Any:
        """The errors of reading a query, or a body, as this API answers them."""
        found = doc_info.get("arguments")
        if found:
            in_query = any(p["in"] == "query" for p in found["parameters"])
            statuses = (400,) if in_query else (400, 413, 415, 422)
            found["responses"] = {status: component(status) for status in statuses}
        return super()._prepare_arguments_doc(doc, doc_info, **context)


def described(view: View, **about: Any) -> View:
    """flask-smorest's `doc`, which wraps the view in a call of its own and copies what is documented so far."""
    documented = vars(view).setdefault("_apidoc", {})
    documented["manual_doc"] = documented.get("manual_doc", {}) | about
    return view


def documented_errors(view: View, statuses: Iterable[int]) -> View:
    """flask-smorest's `alt_response` for what is documented once for all views.

    That wraps the view in a call of its own, and copies what is documented so far, once for each status.
    """
    responses = vars(view).setdefault("_apidoc", {}).setdefault("response", {}).setdefault("responses", {})
    for status in statuses:
        responses.setdefault(status, []).append(component(status))
    return view


def budget(**stores: int) -> Callable[[View], View]:
    """The maximum number of round trips of the view per store, with a cold cache. Stores not named are not called.

    It does not depend on the length of a list. `tests/http/test_budgets.py` checks every route.
    """

    def declare(view: View) -> View:
        declared: Any = view
        declared.budget = stores
        return view

    return declare


def private(view: View) -> View:
    """For signed-in callers only. Put it right under the route, so that it runs before the body is read."""

    @functools.wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        session()
        return view(*args, **kwargs)

    documented: Any = described(guarded, security=[{"bearer": []}])
    documented.access = "private"
    return documented_errors(documented, [401])  # type: ignore[no-any-return] # same signature as the view


def anonymous(view: View) -> View:
    """Makes somebody who can sign in: a token that is sent along, dead or alive, plays no part."""
    documented: Any = described(view, security=[])
    documented.access, documented.anonymous = "public", True
    return documented  # type: ignore[no-any-return] # same signature as the view


def public(view: View) -> View:
    """For everybody; a signed-in caller may see more."""
    documented: Any = described(view, security=[{}, {"bearer": []}])
    documented.access = "public"
    return documented  # type: ignore[no-any-return] # same signature as the view
