"""`Idempotency-Key`: required on routes that move money, optional on every other POST.

On a required route the service stores the answer, and the view returns it. On any other route the successful response
is stored here, after the view. Both are replayed byte for byte, with `Idempotent-Replayed: true`.
"""

import functools
import hashlib
import re
from collections.abc import Callable
from typing import Any, TypeVar, cast
from uuid import UUID

import msgspec
from flask import Flask, Response, current_app, g, request

from app.errors import AppError, BadRequest
from app.http.edge import own_writes
from app.http.edge.blueprint import described, documented_errors
from app.http.edge.deps import container, session_or_none
from app.http.edge.request_framing import is_strange
from app.services.commands.idempotency import Attempt, Receipt, Replayed, ReservedId
from repositories.records.idempotency import Answer, RequestKey

View = TypeVar("View", bound=Callable[..., Any])
T = TypeVar("T")
HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
# No comma, because a server joins the lines of a header that was sent twice with commas (RFC 9110, section 5.3).
SOUND = re.compile(r"[\x21-\x2b\x2d-\x7e]{1,255}")
KEPT_HEADERS = ("Content-Type", "Location", "ETag", own_writes.HEADER)
NOBODY = UUID(int=0)


def register(app: Flask) -> None:
    app.before_request(check)


def check() -> None:
    """Raise `BadRequest` for a missing or malformed key, before the view and its body are looked at."""
    view = current_app.view_functions.get(request.endpoint or "")
    kind = getattr(view, "idempotency", None) if request.method == "POST" else None
    if kind is None or is_strange():
        return
    sent = request.headers.get(HEADER)
    if sent is None and kind == "required":
        raise BadRequest(f"this request needs an {HEADER} header", code="idempotency_key_missing")
    if sent is not None and not SOUND.fullmatch(sent):
        raise BadRequest(
            f"{HEADER} must be one, of 1 to 255 visible ASCII characters without commas",
            code="idempotency_key_malformed",
        )


def idempotent(*, required: bool = False, kept: bool = True) -> Callable[[View], View]:
    """Make a POST idempotent. Must be the innermost decorator: the fingerprint is computed from the loaded body.

    With `kept=False` the key is accepted but nothing is stored, for answers that contain a secret.
    """

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def once(*args: Any, **kwargs: Any) -> Response:
            sent = request.headers.get(HEADER)
            if sent is None or not kept:
                return cast("Response", view(*args, **kwargs))
            g.attempt = _attempt(sent, args)
            try:
                return _sent(view(*args, **kwargs)) if required else _run_once(view, args, kwargs)
            except Replayed as known:
                own_writes.resume(known.answer.headers.get(own_writes.HEADER, ""))
                answer = _sent(known.answer)
                answer.headers[REPLAYED] = "true"
                return answer

        return cast("View", _documented(once, required=required))

    return decorate


def receipt(render: Callable[[T], Response]) -> Receipt[T]:
    """The request's attempt with the function that renders the answer, for the service behind a `required` route."""
    return Receipt(cast("Attempt", g.attempt), lambda made: stored(render(made)))


def reserved() -> ReservedId | None:
    """The id reserved for what this request creates; None without a key."""
    return cast("ReservedId | None", g.get("reserved"))


def stored(response: Response) -> Answer:
    headers = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
    return Answer(response.status_code, headers, response.get_data())


def _run_once(view: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Response:
    """Claim the key, call the view, store the response.

    An `AppError` with a status below 500 frees the key. After any other error the key stays bound to this body.
    """
    keys = container().commands.idempotency
    claim = keys.begin(g.attempt, container().kit.ids())
    g.reserved = claim.reserved
    try:
        response = cast("Response", view(*args, **kwargs))
        own_writes.mark(response)
    except AppError as error:
        (keys.abandon if error.status < 500 else keys.end_lease)(claim)
        raise
    except BaseException:
        keys.end_lease(claim)
        raise
    keys.finish(claim, Receipt(g.attempt, stored), lambda _: response)
    return response


def _attempt(sent: str, args: tuple[Any, ...]) -> Attempt:
    """Describe this attempt: key and fingerprint. `args` are the view's positional arguments, such as the loaded body.

    The fingerprint does not depend on the server's secret, so keys stay valid when the secret changes. Anonymous
    callers share one scope, so their key is combined with the fingerprint.
    """
    where = " ".join([request.method, str(request.url_rule), *map(str, (request.view_args or {}).values())])
    salt = hashlib.sha256(f"{where}\n{sent}".encode()).digest()
    body = [_without_passwords(arg, salt) for arg in args]
    fingerprint = hashlib.sha256(msgspec.json.encode(body, order="sorted")).digest()
    signed = session_or_none()
    if signed is None:
        return Attempt(RequestKey(NOBODY, f"{where} {fingerprint.hex()}", sent), fingerprint)
    return Attempt(RequestKey(signed.account_id, where, sent), fingerprint)


def _without_passwords(arg: Any, salt: bytes) -> Any:
    """Replace passwords by a slowly derived key: otherwise the stored fingerprint could be used to guess them."""
    if not isinstance(arg, dict):
        return arg
    hidden = {name: value for name, value in arg.items() if "password" in name and isinstance(value, str)}
    return arg | {name: container().people.hasher.derive(value, salt).hex() for name, value in hidden.items()}


def _sent(answer: Answer) -> Response:
    response = Response(answer.body, answer.status)
    del response.headers["Content-Type"]
    response.headers.extend(answer.headers)
    return response


def _documented(view: Callable[..., Any], *, required: bool) -> Any:
    header = {
        "name": HEADER,
        "in": "header",
        "required": required,
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-+--~]{1,255}$"},
        "description": "1 to 255 visible ASCII characters without commas. Repeating a request with the same key and "
        f"body within 24 hours has no further effect and returns the first response, with `{REPLAYED}: true`. "
        "Refusals are not stored.",
    }
    documented: Any = described(view, parameters=[header])
    documented.idempotency = "required" if required else "optional"
    return documented_errors(documented, (400, 409, 422))
