"""flask-smorest's blueprint with the strict parser, access marks and one line for a view's errors."""

import functools
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeVar

import flask_smorest

from app.http.body import StrictParser
from app.http.deps import session

View = TypeVar("View", bound=Callable[..., Any])
BASE = "/api/v1"


class Blueprint(flask_smorest.Blueprint):
    ARGUMENTS_PARSER = StrictParser()

    def __init__(self, name: str, about: str) -> None:
        super().__init__(name, __name__, url_prefix=BASE, description=about)

    def raises(self, *statuses: int) -> Callable[[View], View]:
        """Document the errors that a view may answer with, beyond those every view may."""

        def decorate(view: View) -> View:
            for status in statuses:
                view = self.alt_response(status, response=HTTPStatus(status).name)(view)
            return view

        return decorate


def private(view: View) -> View:
    """For signed-in callers only. Put it right under the route, so that it runs before the body is read."""

    @functools.wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        session()
        return view(*args, **kwargs)

    documented: Any = flask_smorest.Blueprint.doc(security=[{"bearer": []}])(guarded)
    documented = flask_smorest.Blueprint.alt_response(Blueprint, 401, response=HTTPStatus.UNAUTHORIZED.name)(documented)
    documented.access = "private"
    return documented  # type: ignore[no-any-return] # same signature as the view


def public(view: View) -> View:
    """For everybody; a signed-in caller may see more."""
    documented: Any = flask_smorest.Blueprint.doc(security=[{}, {"bearer": []}])(view)
    documented.access = "public"
    return documented  # type: ignore[no-any-return] # same signature as the view
