"""`/openapi.json`: the OpenAPI document, built from the routes' declarations on the first request for it."""

import functools
from http import HTTPStatus
from typing import Any

import flask_smorest
import marshmallow as ma
import msgspec
from flask import Blueprint, Flask, Response

from app.http import routes
from app.http.document import live_events
from app.http.document.operations import complete
from app.http.document.problem_codes import PROBLEMS
from app.http.edge import answers, errors
from app.http.edge.fields import Attributes
from app.http.edge.shapes import MoneyShape
from app.http.edge.status_names import component, phrase
from app.services.pages.whole_pages import WholePage, unversioned

ABOUT = """Errors are RFC 9457 problems; each `code` is explained at `/problems/CODE`, and new codes may be added.
Lists use keyset pagination. Integers are written without a fraction or an exponent. Changing a versioned resource
requires If-Match. Responses to requests that the server refuses before routing (414, 431, and 400 for malformed HTTP)
have no body."""
INFO = {"title": "Quartet", "version": "1", "openapi_version": "3.1.0", "info": {"description": ABOUT}}
SECURITY = {"bearer": {"type": "http", "scheme": "bearer"}}
blp = Blueprint("openapi", __name__)


class FieldProblemSchema(ma.Schema):
    pointer = ma.fields.String(required=True, metadata={"description": "JSON pointer into the request body"})
    detail = ma.fields.String(required=True)


class ProblemSchema(ma.Schema):
    """An error (RFC 9457). `code` is stable; `detail` is for people."""

    type = ma.fields.String(required=True, metadata={"description": "URL of the page that explains the code"})
    title = ma.fields.String(required=True)
    status = ma.fields.Integer(required=True)
    code = ma.fields.String(required=True, metadata={"enum": sorted(PROBLEMS)})
    detail = ma.fields.String(required=True)
    request_id = ma.fields.String(required=True)
    errors = ma.fields.List(ma.fields.Nested(FieldProblemSchema))
    expected_total = ma.fields.Nested(
        MoneyShape, metadata={"description": "with `price_changed`: the total in the request"}
    )
    total = ma.fields.Nested(
        MoneyShape, metadata={"description": "with `price_changed`: the current total of the order"}
    )


class Api(flask_smorest.Api):
    ERROR_SCHEMA = ProblemSchema

    def _register_responses(self) -> None:
        """Register the error responses with their actual content type, `application/problem+json`."""
        content = {errors.PROBLEM: {"schema": ProblemSchema}}
        for status in HTTPStatus:
            response: dict[str, Any] = {"description": phrase(status)}
            if status >= 400:
                response["content"] = content
            self.spec.components.response(component(status), response, lazy=True)
        self.spec.components.response(
            "DEFAULT_ERROR", {"description": "Any other error", "content": content}, lazy=True
        )


def _property_names(_: object, field: ma.fields.Field[Any], **__: Any) -> dict[str, Any]:
    """The property names of `Attributes`, which apispec does not derive from the field."""
    return {"propertyNames": {"pattern": field.PATTERN}} if isinstance(field, Attributes) else {}


@blp.get("/openapi.json")
def document() -> Response:
    return answers.checked(_document())


@functools.cache
def _document() -> WholePage:
    """The document, built over an application with nothing but routes: it is the same for all of this process."""
    app = Flask("document", static_folder=None)
    routes.convert(app)
    api = Api(app, spec_kwargs={**INFO, "servers": [{"url": "/"}]})
    api.ma_plugin.converter.add_attribute_function(_property_names)
    for name, scheme in SECURITY.items():
        api.spec.components.security_scheme(name, scheme)
    for name, event in live_events.components().items():
        api.spec.components.schema(name, event)
    for converter, schema in routes.CONVERTED.items():
        api.register_converter(converter, lambda _, schema=schema: schema)
    for blueprint in routes.BLUEPRINTS:
        api.register_blueprint(blueprint)
    return unversioned(msgspec.json.encode(complete(api.spec.to_dict(), app)))
