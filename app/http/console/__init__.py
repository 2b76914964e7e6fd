"""The console for operators at `/console`: pages rendered here, for people; no part of the API or of its document."""

from typing import cast

from flask import Flask

from app.container import Container
from app.http.console import dead_letters, feed, views
from app.http.console.signing_in import Operators
from app.http.edge.deps import CONTAINER

# Their routes are of the one blueprint.
PAGES = (dead_letters, feed)


def register(app: Flask) -> None:
    """There is none in production without a token."""
    settings = cast("Container", app.extensions[CONTAINER]).settings
    production = settings.env == "production"
    if settings.console_token or not production:
        app.extensions[views.OPERATORS] = Operators(settings.console_token, settings.secrets, secure=production)
        app.register_blueprint(views.blp)
