"""The blueprints of all documented routes, and the converters for path parameters."""

from typing import Any

from flask import Flask
from werkzeug.routing import BaseConverter

from app.http.resources import (
    accounts,
    comments,
    credentials,
    deletion,
    delivery,
    export,
    feed,
    fulfilment,
    health,
    mailed_tokens,
    notifications,
    orders,
    payouts,
    post_views,
    posts,
    products,
    refunds,
    search,
    sessions,
    statements,
    stock,
    stream,
    wallet,
)

# One blueprint per heading of the API document. Modules under the same heading share it, hence the deduplication.
BLUEPRINTS = tuple(
    dict.fromkeys(
        module.blp
        for module in (
            accounts,
            sessions,
            credentials,
            deletion,
            mailed_tokens,
            export,
            posts,
            delivery,
            post_views,
            comments,
            feed,
            notifications,
            stream,
            products,
            stock,
            wallet,
            statements,
            payouts,
            orders,
            fulfilment,
            refunds,
            search,
            health,
        )
    )
)


class HandleConverter(BaseConverter):
    regex = "[A-Za-z0-9_]{3,30}"


class NumberConverter(BaseConverter):
    """A positive integer of at most nine digits without leading zeros, so that every store can hold it."""

    regex = "[1-9][0-9]{0,8}"

    def to_python(self, value: str) -> int:
        return int(value)


# The OpenAPI schema of each converter.
CONVERTED: dict[type[BaseConverter], dict[str, Any]] = {
    HandleConverter: {"type": "string", "pattern": "^[A-Za-z0-9_]{3,30}$"},
    NumberConverter: {"type": "integer", "minimum": 1, "maximum": 999_999_999},
}


def convert(app: Flask) -> None:
    """Register the path converters of an application. Call this before any route is registered."""
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False
    app.url_map.converters |= {"handle": HandleConverter, "number": NumberConverter}
