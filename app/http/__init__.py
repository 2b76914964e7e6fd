"""The HTTP interface, and the only package that imports Flask: one blueprint per resource, and what they share."""

from flask import Flask

from app.container import Container
from app.http import console, routes
from app.http.document import docs, index, openapi, problems
from app.http.edge import (
    auth,
    cors,
    deadline,
    errors,
    idempotency,
    limiting,
    metrics,
    own_writes,
    request_framing,
    tracing,
    unexpected_query,
)
from app.http.edge.body import BODY_LIMIT
from app.http.edge.deps import CONTAINER, CURSORS
from app.http.edge.matching_rule import MatchingRule
from app.http.edge.paging import Cursors
from app.http.resources import webhooks
from app.http.whole_pages import fast_path


def create_app(container: Container) -> Flask:
    """Create a Flask application over a container. It has no global state: a process may have several."""
    app = Flask("quartet", static_folder=None)
    app.url_rule_class = MatchingRule
    app.config.update(MAX_CONTENT_LENGTH=BODY_LIMIT, PROPAGATE_EXCEPTIONS=False)
    app.extensions[CONTAINER] = container
    app.extensions[CURSORS] = Cursors(container.settings.secrets)
    metrics.register(app)
    deadline.register(app, container.settings.request_timeout)
    fast_path.register(app)
    tracing.register(app)
    cors.register(app)
    app.before_request(request_framing.refuse)
    auth.register(app)
    own_writes.register(app)
    limiting.register(app)
    unexpected_query.register(app)
    idempotency.register(app)
    request_framing.register(app)
    errors.register(app)
    routes.convert(app)
    for blueprint in (*routes.BLUEPRINTS, webhooks.blp, openapi.blp, docs.blp, index.blp, problems.blp):
        app.register_blueprint(blueprint)
    console.register(app)
    return app
