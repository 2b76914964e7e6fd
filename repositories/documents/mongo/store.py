"""Documents in MongoDB 6 or later. It must be a replica set, since comments need transactions."""

import contextlib
import logging
from datetime import timedelta

from repositories.documents.mongo.client import MongoConnection
from repositories.documents.mongo.comments import MongoComments
from repositories.documents.mongo.dump import MongoDump
from repositories.documents.mongo.errors import ROLE
from repositories.documents.mongo.moving import MongoPlace
from repositories.documents.mongo.outbox import MongoOutbox
from repositories.documents.mongo.posts import MongoPosts
from repositories.documents.mongo.products import MongoProducts
from repositories.documents.mongo.schema import steps
from repositories.documents.mongo.secondaries import read_elsewhere
from repositories.documents.mongo.target import reads_secondaries
from repositories.documents.mongo.views import MongoViews
from repositories.documents.port import DocumentStore
from repositories.errors import ReadOnly, Unavailable
from repositories.read_your_writes import HostState, ReplicaState

log = logging.getLogger(__name__)
LIFETIME = "transactionLifetimeLimitSeconds"
LONGEST_LIFETIME = 10
MIGRATION_SECONDS = 600.0  # building an index over many documents is slow


class MongoDocuments(DocumentStore):
    """Connects on first use; can be used again after `close`."""

    def __init__(self, url: str, *, timeout: timedelta, pool: int) -> None:
        self._connection = MongoConnection(url, timeout=timeout, pool=pool)
        self._checked = False
        self.posts = posts = MongoPosts(self._connection)
        self.comments = MongoComments(self._connection)
        self.products = MongoProducts(self._connection)
        self.views = MongoViews(self._connection)
        self.outbox = MongoOutbox(self._connection)
        self.dump = MongoDump(self._connection, posts.know)
        self.place = MongoPlace(self._connection, self.dump)
        self.replicated = reads_secondaries(url)
        self._secondaries = read_elsewhere(self, self._connection) if self.replicated else None

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        self.ping()
        done = []
        with self._connection.calling(seconds=MIGRATION_SECONDS):
            for name, act in steps(self._connection.database):
                if not dry_run:
                    act()
                done.append(f"{ROLE}: {name}")
        return done

    def ping(self) -> None:
        with self._connection.calling():
            hello = self._connection.client.admin.command("hello")
        if "setName" not in hello and hello.get("msg") != "isdbgrid":
            raise Unavailable(ROLE, "this mongod is no member of a replica set, and transactions need one")
        if not hello.get("isWritablePrimary"):
            raise ReadOnly(ROLE, "the server is no primary")
        if not self._checked:
            self._checked = True
            self._check_lifetime()

    def notes(self) -> list[str]:
        return self._connection.notes()

    def hosts(self) -> list[HostState]:
        return self._connection.hosts()

    def replicas(self) -> list[ReplicaState]:
        return self._secondaries.states() if self._secondaries else []

    def _check_lifetime(self) -> None:
        """Warn if the server keeps transactions of dead processes for long. If it does not answer, do not ask again."""
        with contextlib.suppress(Unavailable), self._connection.calling():
            found = self._connection.client.admin.command({"getParameter": 1, LIFETIME: 1})[LIFETIME]
            if found > LONGEST_LIFETIME:
                log.warning(
                    "MongoDB keeps the locks of a dead process's transaction for %d s; set %s=5", found, LIFETIME
                )

    def close(self) -> None:
        self._connection.close()
