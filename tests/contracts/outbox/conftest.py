"""Outboxes of both truths."""

from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from tests.contracts.outbox.outboxes import LAST, WritableOutbox, documents_box, relational_box
from tests.contracts.relational_store import NOW, migrated_database

ADAPTERS = [
    "relational-embedded",
    "documents-embedded",
    pytest.param("relational-postgres", marks=pytest.mark.engines),
    pytest.param("documents-mongo", marks=pytest.mark.engines),
    pytest.param("documents-postgres", marks=pytest.mark.engines),
]


@pytest.fixture(scope="module", params=ADAPTERS)
def adapter(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WritableOutbox]:
    role, engine = request.param.split("-")
    with ExitStack() as stack:
        if engine == "embedded":
            url = f"sqlite:///{tmp_path_factory.mktemp('outbox') / 'quartet.db'}"
        elif engine == "postgres":
            url = migrated_database(request.getfixturevalue("engines").postgres())
        else:
            server = request.getfixturevalue("engines").mongo()
            url = urlsplit(server.url)._replace(path=f"/t{uuid4().hex}").geturl()
        yield (relational_box if role == "relational" else documents_box)(url, stack)


@pytest.fixture
def box(adapter: WritableOutbox) -> WritableOutbox:
    """The outbox of the adapter, emptied."""
    adapter.outbox.replay(None, now=NOW)
    while claims := adapter.outbox.claim(now=LAST, lease_until=LAST, limit=1000):
        adapter.outbox.acknowledge(claims)
    return adapter
