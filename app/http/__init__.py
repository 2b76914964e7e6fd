"""The only place that knows Flask: one blueprint per resource, and what they share."""

from threading import BoundedSemaphore

from flask import Flask
from werkzeug.routing import BaseConverter

from app.container import Container
from app.http import (
    accounts,
    auth,
    comments,
    delivery,
    docs,
    fast,
    feed,
    health,
    idempotency,
    limiting,
    metrics,
    notifications,
    orders,
    posts,
    products,
    sessions,
    stream,
    tracing,
    views,
    wallet,
)
from app.http.deps import BODIES, CONTAINER, CURSORS
from app.http.errors import Api
from app.http.paging import Cursors

ABOUT = "Errors are RFC 9457 problems; lists are keyset-paged; a change of a versioned thing needs If-Match."
BODY_LIMIT = 256 * 1024
BLUEPRINTS = (
    accounts,
    sessions,
    posts,
    delivery,
    views,
    comments,
    feed,
    notifications,
    stream,
    products,
    wallet,
    orders,
    health,
)
SCHEMES = {"bearer": {"type": "http", "scheme": "bearer"}}


class HandleConverter(BaseConverter):
    regex = "[A-Za-z0-9_]{3,30}"


class NumberConverter(BaseConverter):
    """A positive number without leading zeros, short enough for every store."""

    regex = "[1-9][0-9]{0,8}"

    def to_python(self, value: str) -> int:
        return int(value)


def create_app(container: Container) -> Flask:
    """A Flask application over a container. Pure: several may live in one process."""
    app = Flask("quartet", static_folder=None)
    app.config.update(
        API_TITLE="Quartet",
        API_VERSION="1",
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
        MAX_CONTENT_LENGTH=BODY_LIMIT,
        PROPAGATE_EXCEPTIONS=False,
    )
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False
    app.url_map.converters |= {"handle": HandleConverter, "number": NumberConverter}
    app.extensions[CONTAINER] = container
    app.extensions[CURSORS] = Cursors(container.settings.secret_key)
    app.extensions[BODIES] = BoundedSemaphore(max(1, container.settings.threads - 1))
    metrics.register(app)
    fast.register(app)
    tracing.register(app)
    auth.register(app)
    limiting.register(app)
    idempotency.register(app)
    _document(app)
    return app


def _document(app: Flask) -> None:
    api = Api(app, spec_kwargs={"info": {"description": ABOUT}, "servers": [{"url": "/"}]})
    for name, scheme in SCHEMES.items():
        api.spec.components.security_scheme(name, scheme)
    api.register_converter(HandleConverter, lambda _: {"type": "string", "pattern": "^[A-Za-z0-9_]{3,30}$"})
    api.register_converter(NumberConverter, lambda _: {"type": "integer", "minimum": 1, "maximum": 999_999_999})
    for module in BLUEPRINTS:
        api.register_blueprint(module.blp)
    app.register_blueprint(docs.blp)
