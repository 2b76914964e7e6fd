"""`/console`: the pages for operators, rendered here; htmx asks for their panels again every few seconds."""

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
# Rows of a panel on the page of all panels.
FEW = 6
# For whoever is not signed in yet.
OPEN = {"console.sign_in", "console.signed_in"}
ELSEWHERE = "Other processes do not know: until your eight hours are over a copy of the cookie counts there."
NAME = "operator of the console"


def operators() -> Operators:
    return cast("Operators", current_app.extensions[OPERATORS])


def is_partial() -> bool:
    """Whether htmx asks for a panel to be put into a page."""
    return request.headers.get("HX-Request") == "true"


@blp.before_request
def admit() -> Response | None:
    """Nothing is shown, and nothing done, for anybody else."""
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
    return _act(g.operator, is_known=is_over is not None) if request.method == "POST" else None


@blp.after_request
def finish(answer: Response) -> Response:
    if g.get("new_operator"):
        operators().keep(answer, g.new_operator)
    # A file that is not there is a page that says so.
    is_file = request.endpoint == "console.asset" and answer.mimetype != "text/html"
    return answer if is_file else rendering.protect(answer)


@blp.errorhandler(Invalid)
def no_value(error: Invalid) -> Response:
    """What was asked for has characters that no store takes, so there is no such thing."""
    return refused(400, "This cannot be looked for", str(error))


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
    """A whole page."""
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
    """By the token, which is in the body alone. Failures count as those of any sign-in do."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        return refused(403, "This form is of another site", "Nothing was done.")
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
    """On the server, so that a copy of the cookie is worth nothing any more, and in the browser in any case."""
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
    """To read what is there now."""
    return cast("Response", redirect(place, 303))


def _act(session: UUID, *, is_known: bool) -> Response | None:
    """Why nothing may be changed, or None."""
    if not operators().is_own_form(request, session):
        return refused(403, "This form is too old", "Go back, load the page anew and try again. Nothing was done.")
    if not is_known and request.endpoint != "console.sign_out":
        return refused(503, "A store does not answer", "It knows whether you have signed out. Nothing was done.")
    return None


def _to_sign_in() -> Response:
    if is_partial():
        answer = refused(401, "You are signed out", "Sign in again.")
        answer.headers["HX-Redirect"] = f"{PATH}/sign-in"
        return answer
    return to(f"{PATH}/sign-in")
