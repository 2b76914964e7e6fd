"""What the WSGI server imports in each of its workers: settings, container, Flask, and the relay where it is inline."""

import atexit

from app.container import build
from app.http import create_app
from app.relay import start_inline
from config import Settings
from config.logs import configure

settings = Settings.from_env()
configure(settings.log_level, settings.log_format)
container = build(settings)
app = create_app(container)
atexit.register(container.close)
if settings.relay_inline:
    atexit.register(start_inline(container))
