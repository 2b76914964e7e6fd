"""The operators' console at `/console`: HTML pages rendered by the server. Not a part of the API or its document."""

from typing import cast

from flask import Flask

from app.container import Container
from app.http.console import dead_letters, feed, views
from app.http.console.signing_in import Operators
from app.http.edge.deps import CONTAINER

# Imported because they add routes to the blueprint of `views.py`.
PAGES = (dead_letters, feed)


def register(app: Flask) -> None:
    """Register the console. In production without a token there is none."""
    settings = cast("Container", app.extensions[CONTAINER]).settings
    production = settings.env == "production"
    if settings.console_token or not production:
        app.extensions[views.OPERATORS] = Operators(settings.console_token, settings.secrets, secure=production)
        app.register_blueprint(views.blp)
