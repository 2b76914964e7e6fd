"""Reads queries and bodies with a strict JSON parser. Validation errors name the offending member by JSON pointer.

By default Python's parser accepts NaN, repeated keys and lone surrogates, and giant integers take it long. Here all of
these are a 400, a wrong content type is a 415, and a well-formed body of the wrong shape is a 422.
"""

import json
from collections.abc import Mapping
from typing import Any, NoReturn

import marshmallow as ma
from flask import Request
from webargs.flaskparser import FlaskParser, is_json_request

from app.errors import BadRequest, Unprocessable, WrongContentType

# The largest body, in bytes.
BODY_LIMIT = 256 * 1024
# The longest integer in a body, in digits.
DIGITS = 100


class StrictParser(FlaskParser):
    DEFAULT_UNKNOWN_BY_LOCATION = {
        **FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION,
        "query": ma.RAISE,
        "json": ma.RAISE,
    }

    def load_json(self, req: Request, schema: ma.Schema) -> Any:
        """Load the JSON body. If the schema's `Meta` sets `empty`, a missing body is read as an empty object."""
        if getattr(schema.Meta, "empty", False) and not req.get_data():
            return {}
        return super().load_json(req, schema)

    def load_querystring(self, req: Request, schema: ma.Schema) -> Any:
        """Load the query. Raises `BadRequest` for a repeated parameter, as for a repeated key in a body."""
        repeated = [name for name, values in req.args.lists() if len(values) > 1]
        if repeated:
            raise BadRequest(f"the query names {repeated[0]} more than once", code="bad_query")
        return super().load_querystring(req, schema)

    def _raw_load_json(self, req: Request) -> Any:
        raw = req.get_data()
        if not raw:
            raise BadRequest("this request needs a JSON body", code="malformed_json")
        if not is_json_request(req):
            raise WrongContentType("the body must be application/json")
        return parse_json(raw)

    def handle_error(self, error: ma.ValidationError, req: Request, schema: ma.Schema, **_: Any) -> NoReturn:
        """Raise `BadRequest` (400) for a query that fails validation, `Unprocessable` (422) for a body that does."""
        messages: Any = error.messages
        if "query" in messages:
            where = ", ".join(f"{pointer[1:]}: {what}" for pointer, what in pointers(messages["query"]).items())
            raise BadRequest(f"the query is invalid: {where}", code="bad_query") from error
        raise Unprocessable("the body is invalid", pointers(messages.get("json", messages))) from error


def parse_json(raw: bytes) -> Any:
    """Parse a strict JSON text in UTF-8. Raises `BadRequest` with code `malformed_json`."""
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_without_repeats,
            parse_constant=_refuse,
            parse_int=_integer,
            parse_float=_finite,
        )
        if b"\\u" in raw:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeError as error:
        raise BadRequest("the body is not valid Unicode in UTF-8", code="malformed_json") from error
    except RecursionError as error:
        raise BadRequest("the body is nested too deep", code="malformed_json") from error
    except ValueError as error:
        raise BadRequest(f"the body is not valid JSON: {error}", code="malformed_json") from error
    return value


def pointers(messages: Any, at: str = "") -> dict[str, str]:
    """Flatten marshmallow's nested messages into a dict from JSON pointer (RFC 6901) to message."""
    if isinstance(messages, Mapping):
        found: dict[str, str] = {}
        for name, inner in messages.items():
            found |= pointers(inner, at if name == "_schema" else f"{at}/{_escaped(name)}")
        return found
    return {at: " ".join(str(m) for m in messages)} if isinstance(messages, list) else {at: str(messages)}


def _escaped(name: object) -> str:
    return str(name).replace("~", "~0").replace("/", "~1")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is repeated")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _integer(text: str) -> int:
    if len(text) > DIGITS:
        raise ValueError(f"a number has more than {DIGITS} digits")
    return int(text)


def _finite(text: str) -> float:
    value = float(text) if len(text) <= DIGITS else float("inf")
    if value in (float("inf"), float("-inf")):
        raise ValueError("a number is too large or too long")
    return value
