"""flask-smorest's blueprint with the strict parser, and decorators that declare a view's access, errors and budget."""

import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import flask_smorest

from app.http.edge.body import StrictParser
from app.http.edge.deps import session
from app.http.edge.status_names import component

View = TypeVar("View", bound=Callable[..., Any])
BASE = "/api/v1"
# The documented headers of an answer that creates a resource.
LOCATION = {"Location": {"schema": {"type": "string"}}}


class Blueprint(flask_smorest.Blueprint):
    ARGUMENTS_PARSER = StrictParser()

    def __init__(self, name: str, about: str, prefix: str = BASE) -> None:
        self._documented: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        super().__init__(name, __name__, url_prefix=prefix, description=about)

    def arguments(self, schema: Any, *, location: str = "json", **options: Any) -> Any:
        """As flask-smorest's, but create a query's schema only once.

        webargs would create it for each request, which costs more than parsing the query.
        """
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
            "description": "The entity tag of the version that the change is based on, or `*`.",
        }
        return documented_errors(described(view, parameters=[header]), (412, 428))

    @staticmethod
    def doc(**about: Any) -> Callable[[View], View]:
        return functools.partial(described, **about)

    def _store_endpoint_docs(self, *route: Any, **options: Any) -> None:
        """Defer flask-smorest's step until the document is requested.

        It copies the view's documentation, which would slow down the start of the server.
        """
        self._documented.append((route, options))

    def register_views_in_doc(self, *args: Any, **options: Any) -> None:
        """Run the deferred steps.

        They run more than once if two threads request the document at once. The result is the same each time.
        """
        for route, how in self._documented:
            super()._store_endpoint_docs(*route, **how)
        super().register_views_in_doc(*args, **options)

    def _prepare_arguments_doc(self, doc: Any, doc_info: Any, **context: Any) -> Any:
        """Document the errors of parsing: 400 for a query; 400, 413, 415 and 422 for a body."""
        found = doc_info.get("arguments")
        if found:
            in_query = any(p["in"] == "query" for p in found["parameters"])
            statuses = (400,) if in_query else (400, 413, 415, 422)
            found["responses"] = {status: component(status) for status in statuses}
        return super()._prepare_arguments_doc(doc, doc_info, **context)


def described(view: View, **about: Any) -> View:
    """Document a view.

    Replaces flask-smorest's `doc`, which wraps the view in another function and copies its documentation.
    """
    documented = vars(view).setdefault("_apidoc", {})
    documented["manual_doc"] = documented.get("manual_doc", {}) | about
    return view


def documented_errors(view: View, statuses: Iterable[int]) -> View:
    """Document errors of a view, by reference to the responses that are defined once for all views.

    Replaces flask-smorest's `alt_response`, which wraps the view and copies its documentation once per status.
    """
    responses = vars(view).setdefault("_apidoc", {}).setdefault("response", {}).setdefault("responses", {})
    for status in statuses:
        responses.setdefault(status, []).append(component(status))
    return view


def budget(**stores: int) -> Callable[[View], View]:
    """Declare the view's maximum number of round trips per store, with a cold cache. Other stores are not called.

    It does not depend on the length of a list. `tests/http/test_budgets.py` checks every route.
    """

    def declare(view: View) -> View:
        declared: Any = view
        declared.budget = stores
        return view

    return declare


def private(view: View) -> View:
    """Require a signed-in caller. Put it right under the route, so that it runs before the body is parsed."""

    @functools.wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        session()
        return view(*args, **kwargs)

    documented: Any = described(guarded, security=[{"bearer": []}])
    documented.access = "private"
    return documented_errors(documented, [401])  # type: ignore[no-any-return] # same signature as the view


def anonymous(view: View) -> View:
    """Mark a route whose caller has no usable token yet, such as registering: a token that is sent is ignored."""
    documented: Any = described(view, security=[])
    documented.access, documented.anonymous = "public", True
    return documented  # type: ignore[no-any-return] # same signature as the view


def public(view: View) -> View:
    """Mark a route as open to everybody. A signed-in caller may see more."""
    documented: Any = described(view, security=[{}, {"bearer": []}])
    documented.access = "public"
    return documented  # type: ignore[no-any-return] # same signature as the view
