"""What the WSGI server imports in each of its workers: settings, container, Flask; one of each per worker."""

import atexit

from app.container import build
from app.http import create_app
from app.orphan import end_with_parent
from config import Settings
from config.logs import configure

end_with_parent()
settings = Settings.from_env()
configure(settings.log_level, settings.log_format)
container = build(settings)
app = create_app(container)
atexit.register(container.close)
