"""Every documented route, and how the parts of a path are read."""

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

# What is documented under one heading has one blueprint, and may be in several modules.
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
    """A positive number without leading zeros, short enough for every store."""

    regex = "[1-9][0-9]{0,8}"

    def to_python(self, value: str) -> int:
        return int(value)


# What the document says of each.
CONVERTED: dict[type[BaseConverter], dict[str, Any]] = {
    HandleConverter: {"type": "string", "pattern": "^[A-Za-z0-9_]{3,30}$"},
    NumberConverter: {"type": "integer", "minimum": 1, "maximum": 999_999_999},
}


def convert(app: Flask) -> None:
    """Teach an application to read the parts of a path. Before its routes."""
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False
    app.url_map.converters |= {"handle": HandleConverter, "number": NumberConverter}
