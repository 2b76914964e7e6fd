"""The single mapping from errors to HTTP answers. Every error is an RFC 9457 `application/problem+json` document."""

import logging
from typing import Any

import msgspec
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from app.errors import AppError, CodedBody, InProgress, PriceChanged, TooMany, Unauthenticated, Unprocessable
from app.http.edge.deps import request_id
from app.http.edge.status_names import phrase
from app.telemetry import ledger_alarms
from repositories.errors import (
    Capped,
    Conflict,
    Contention,
    IllegalMove,
    Inconsistent,
    Insufficient,
    Invalid,
    MovedAway,
    NotFound,
    Resolved,
    Short,
    Stale,
    StoreError,
    Unavailable,
)

PROBLEM = "application/problem+json"
# Key in the WSGI environ: set when a store refused a write because its role has moved. Nothing was written.
REFUSED = "quartet.moved"
RETRY_SECONDS = "1"
log = logging.getLogger(__name__)

WERKZEUG_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "body_too_large",
    414: "uri_too_long",
    415: "unsupported_media_type",
    431: "headers_too_large",
}
STORE_ERRORS: dict[type[StoreError], tuple[int, str, str]] = {
    NotFound: (404, "not_found", "there is no such thing"),
    Conflict: (409, "conflict", "this exists already"),
    Stale: (412, "precondition_failed", "the thing has changed meanwhile"),
    Invalid: (422, "validation_failed", "a value cannot be stored"),
    Insufficient: (409, "insufficient_funds", "there is not enough money available"),
    Short: (409, "out_of_stock", "there are not enough units available"),
    IllegalMove: (409, "illegal_transition", "the order's state does not allow this"),
    Capped: (409, "refund_capped", "this is more than is left to refund"),
    Resolved: (409, "hold_ended", "the money is no longer set aside"),
    Inconsistent: (500, "books_inconsistent", "what is written of money or stock contradicts itself; nothing was done"),
    Contention: (503, "busy", "too many changes to the same thing at once"),
    Unavailable: (503, "store_unavailable", "a store does not answer at the moment"),
}


def register(app: Flask) -> None:
    app.register_error_handler(AppError, from_app)
    app.register_error_handler(StoreError, from_store)
    app.register_error_handler(HTTPException, from_http)


def from_app(error: AppError) -> Response:
    fields = error.fields if isinstance(error, Unprocessable) else {}
    prices = {"expected_total": error.expected, "total": error.total} if isinstance(error, PriceChanged) else {}
    answer = problem(error.status, error.code, error.detail, fields, **prices)
    if isinstance(error, Unauthenticated):
        dead = ' error="invalid_token"' if error.code == "invalid_token" else ""
        answer.headers["WWW-Authenticate"] = f"Bearer{dead}"
    if isinstance(error, CodedBody):
        answer.headers["Accept-Encoding"] = "identity"
    if isinstance(error, InProgress | TooMany):
        answer.headers["Retry-After"] = str(error.seconds)
    return answer


def from_store(error: StoreError) -> Response:
    status, code, detail = next(STORE_ERRORS[kind] for kind in type(error).__mro__ if kind in STORE_ERRORS)
    if isinstance(error, Inconsistent):
        ledger_alarms.raised("request", error)
    if isinstance(error, MovedAway):
        request.environ[REFUSED] = True
    if status == 503:
        log.warning("request refused: %s", error)
    return problem(status, code, detail)


def from_http(error: HTTPException) -> Response:
    """Answer werkzeug's own errors, and unexpected exceptions, which Flask has logged and passes on as a 500."""
    status = error.code or 500
    detail = error.description if status < 500 and error.description else phrase(status)
    answer = problem(status, WERKZEUG_CODES.get(status, "internal_error" if status >= 500 else "bad_request"), detail)
    for name, value in error.get_headers():
        if name == "Allow":
            answer.headers[name] = value
    return answer


def problem(status: int, code: str, detail: str, fields: dict[str, str] | None = None, **more: Any) -> Response:
    """Build a problem answer.

    `fields` are messages by JSON pointer, for the member `errors`; `more` are extension members (RFC 9457, 3.2).
    """
    if fields:
        more["errors"] = [{"pointer": at, "detail": what} for at, what in fields.items()]
    answer = Response(encoded(status, code, detail, request_id(), **more), status, content_type=PROBLEM)
    if status == 503:
        answer.headers["Retry-After"] = RETRY_SECONDS
    return answer


def encoded(status: int, code: str, detail: str, asked_by: str, **more: Any) -> bytes:
    """The body of a problem as JSON. `asked_by` is the request id. `more` are extension members."""
    body: dict[str, Any] = {
        "type": f"/problems/{code}",
        "title": phrase(status),
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": asked_by,
    }
    return msgspec.json.encode(body | more)
