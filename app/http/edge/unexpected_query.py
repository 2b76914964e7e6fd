"""Refuses a query on routes without query parameters. Other routes refuse unknown parameters by their schema."""

from flask import Flask, current_app, request

from app.errors import BadRequest


def register(app: Flask) -> None:
    app.before_request(check)


def check() -> None:
    """Raise `BadRequest` for an unexpected query. Routes outside the API (`/docs`, `/metrics`) ignore queries."""
    view = current_app.view_functions.get(request.endpoint or "")
    if not request.query_string or not hasattr(view, "access"):
        return
    documented = getattr(view, "_apidoc", {}).get("arguments", {}).get("parameters", [])
    if not any(parameter["in"] == "query" for parameter in documented):
        raise BadRequest("this route takes no query parameters", code="bad_query")
