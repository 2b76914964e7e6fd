"""The WSGI application, imported by each worker of the server: settings, container and Flask, one per worker."""

import atexit

from app.container import build
from app.http import create_app
from app.server.orphan import end_with_parent
from app.server.streams import Gate, on_ending
from config import Settings
from config.logs import configure

end_with_parent()
settings = Settings.from_env()
configure(settings.log_level, settings.log_form)
container = build(settings)
app = create_app(container)
app.wsgi_app = Gate(app.wsgi_app, settings.threads)  # type: ignore[method-assign]  # Flask's documented way
atexit.register(container.close)
on_ending(container.live.hub.close)
if settings.metrics:
    # Imported here, after the server has set the directory in which its processes share metrics.
    from app.telemetry.series import keep_sampling

    keep_sampling()
