"""The WSGI application `app`, configured by `SEARCH_FILE`, `SEARCH_QUARTET` and `SEARCH_SECRET`."""

import os

from examples.search.index import Index
from examples.search.service import Service

app = Service(
    Index(os.environ.get("SEARCH_FILE", "search.db")),
    os.environ.get("SEARCH_QUARTET", "http://127.0.0.1:8000"),
    os.environ["SEARCH_SECRET"],
)
