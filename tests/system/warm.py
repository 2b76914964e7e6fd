"""Preloads the fork server with what each process builds once, which would take most of the short life of a forked
one.
"""

import tempfile
from pathlib import Path

import repositories.documents.mongo.store
import repositories.feeds.cassandra.store
import repositories.hot.redis.cache
import repositories.hot.redis.limits
import repositories.hot.redis.sessions
import repositories.hot.redis.streams
import repositories.hot.redis.views
import repositories.relational.postgres.store  # noqa: F401  all of them are loaded when a URL names them
from config import Settings
from tests.apps import embedded, running

with tempfile.TemporaryDirectory() as _folder, running(Settings(**embedded(Path(_folder)))) as _system:
    _system.person().get("/products")
