"""Makes whatever each process makes once, in the process that dying ones are forked from, to shorten their start."""

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
