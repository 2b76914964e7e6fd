"""`/console`: the operators' pages, rendered by the server. htmx reloads their panels every few seconds."""

from pathlib import Path
from typing import Any, cast
from uuid import UUID

from flask import Blueprint, Response, current_app, g, redirect, render_template, request
from werkzeug.exceptions import HTTPException

from app.errors import AppError, Unauthenticated
from app.http.console import rendering
from app.http.console.panels import COLUMNS, PANELS
from app.http.console.signing_in import LIFETIME, PATH, Operators
from app.http.edge import assets
from app.http.edge.deps import container
from app.http.edge.limiting import caller_address
from repositories.errors import Invalid, StoreError

blp = Blueprint("console", __name__, url_prefix=PATH, template_folder="templates")
rendering.register(blp)
OPERATORS = "quartet-operators"
ASSETS = Path(__file__).parent / "assets"
# Rows of a panel on the overview page.
FEW = 6
# Endpoints that need no session.
OPEN = {"console.sign_in", "console.signed_in"}
ELSEWHERE = "Other processes do not know: they accept a copy of the cookie until its eight hours are over."
NAME = "operator of the console"


def operators() -> Operators:
    return cast("Operators", current_app.extensions[OPERATORS])


def is_partial() -> bool:
    """Whether htmx requests a fragment to be put into a page."""
    return request.headers.get("HX-Request") == "true"


@blp.before_request
def admit() -> Response | None:
    """Admit the request only if it is signed in, or from this machine where no token is set; else answer it."""
    who = operators()
    if not who.admits(request, caller_address()):
        return refused(
            403, "The console is open to this machine only", "Set QUARTET_CONSOLE_TOKEN to sign in from others."
        )
    if request.endpoint == "console.asset":
        return None
    g.operator = who.session(request)
    if g.operator is None and not who.needs_token:
        g.operator = g.new_operator = who.begin()
    # Without a token there is nothing to sign out of.
    is_over = container().people.console_sessions.is_over(g.operator) if g.operator and who.needs_token else False
    if is_over:
        g.operator = None
    if request.endpoint in OPEN:
        return None
    if g.operator is None:
        return _to_sign_in()
    return _refused_post(g.operator, is_known=is_over is not None) if request.method == "POST" else None


@blp.after_request
def finish(answer: Response) -> Response:
    if g.get("new_operator"):
        operators().keep(answer, g.new_operator)
    # A missing asset is answered with an HTML page, which needs the protecting fields.
    is_file = request.endpoint == "console.asset" and answer.mimetype != "text/html"
    return answer if is_file else rendering.protect(answer)


@blp.errorhandler(Invalid)
def no_value(error: Invalid) -> Response:
    """Answer 400: the value looked for has characters that no store accepts, so it cannot exist."""
    return refused(400, "This cannot be searched for", str(error))


@blp.errorhandler(StoreError)
def store_away(error: StoreError) -> Response:
    return refused(503, "A store does not answer", str(error))


@blp.errorhandler(AppError)
def from_app(error: AppError) -> Response:
    return refused(error.status, "This cannot be done", error.detail)


@blp.errorhandler(HTTPException)
def from_http(error: HTTPException) -> Response:
    return refused(error.code or 500, error.name, error.description or "")


def page(template: str, title: str, status: int = 200, **context: Any) -> Response:
    """Render a whole page; `context` are the template's variables."""
    session = g.get("operator")
    context |= {
        "title": title,
        "here": request.path,
        "moment": rendering.moment(),
        "form_token": operators().form_token(session) if session else None,
        "signs_out": operators().needs_token and session is not None,
    }
    return Response(render_template(template, **context), status, content_type="text/html; charset=utf-8")


def refused(status: int, title: str, why: str) -> Response:
    if is_partial():
        text = render_template("away.html", title=title, why=why)
        return Response(text, status, content_type="text/html; charset=utf-8")
    return page("refused.html", title, status, why=why)


@blp.get("")
def overview() -> Response:
    return page("overview.html", "Overview", columns=COLUMNS)


@blp.get("/")
def with_a_slash() -> Response:
    return to(PATH)


@blp.get("/<any('stores', 'ladder', 'routes', 'lags', 'cache', 'live', 'advice'):name>")
def panel(name: str) -> Response:
    title, read = PANELS[name]
    found = read() | {"few": FEW if "few" in request.args else None}
    if is_partial():
        text = render_template(f"panels/{name}.html", moment=rendering.moment(), **found)
        return Response(text, content_type="text/html; charset=utf-8")
    return page("panel.html", title, name=name, **found)


@blp.get("/sign-in")
def sign_in() -> Response:
    return page("sign_in.html", "Sign in") if operators().needs_token else to(PATH)


@blp.post("/sign-in")
def signed_in() -> Response:
    """Sign in by the token, which is sent only in the body. Failures are limited as those of any sign-in."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        return refused(403, "This form was sent by another site", "Nothing was done.")
    try:
        with container().people.throttle.guess(NAME, caller_address()):
            operators().check(request.form.get("token", ""))
    except Unauthenticated as error:
        return page("sign_in.html", "Sign in", 401, error=error.detail)
    answer = to(PATH)
    operators().keep(answer, operators().begin())
    return answer


@blp.post("/sign-out")
def sign_out() -> Response:
    """End the session on the server, so that copies of the cookie become invalid, and delete the cookie in any case."""
    session, g.operator = g.operator, None
    g.pop("new_operator", None)
    answer = to(f"{PATH}/sign-in")
    if operators().needs_token:
        try:
            container().people.console_sessions.end(session, LIFETIME)
        except StoreError as error:
            why = f"You are signed out in this browser and on this process. {ELSEWHERE} ({error})"
            answer = refused(503, "A store does not answer", why)
    operators().forget(answer)
    return answer


@blp.get("/assets/<name>")
def asset(name: str) -> Response:
    return assets.asset(ASSETS, name)


def to(place: str) -> Response:
    """Redirect to `place` by a 303, so that it is requested with GET."""
    return cast("Response", redirect(place, 303))


def _refused_post(session: UUID, *, is_known: bool) -> Response | None:
    """Refuse a POST with a wrong form token, or while it is unknown whether the session was ended; None to admit it.

    Signing out is admitted in the latter case.
    """
    if not operators().is_own_form(request, session):
        return refused(403, "This form is too old", "Go back, reload the page and try again. Nothing was done.")
    if not is_known and request.endpoint != "console.sign_out":
        return refused(503, "A store does not answer", "It stores whether you have signed out. Nothing was done.")
    return None


def _to_sign_in() -> Response:
    if is_partial():
        answer = refused(401, "You are signed out", "Sign in again.")
        answer.headers["HX-Redirect"] = f"{PATH}/sign-in"
        return answer
    return to(f"{PATH}/sign-in")
