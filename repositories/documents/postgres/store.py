"""Documents in PostgreSQL. Gives the same guarantees as the MongoDB adapter and passes the same contract suite."""

from datetime import timedelta

from repositories.documents.port import DocumentStore
from repositories.documents.postgres.comments import PostgresComments
from repositories.documents.postgres.posts import PostgresPosts
from repositories.documents.postgres.products import PostgresProducts
from repositories.documents.postgres.schema import TABLES, UNIQUE
from repositories.documents.sql.dump import DocumentsDump
from repositories.documents.sql.moving import DocumentsPlace
from repositories.documents.sql.outbox import SqlOutbox
from repositories.documents.sql.views import SqlViews
from repositories.moving.postgres import PostgresEngine
from repositories.postgres.database import PostgresDatabase
from repositories.sql import SqlBacked

# Every statement has an index. Without sequential scans the planner uses it even on statistics that are out of date.
SETTINGS = {"enable_seqscan": "off", "synchronous_commit": "on"}


class PostgresDocuments(SqlBacked, DocumentStore):
    """Connects on first use; can be used again after `close`."""

    _tables = TABLES

    def __init__(self, url: str, *, timeout: timedelta, pool: int) -> None:
        self._database = PostgresDatabase(
            url, "documents", timeout=timeout, pool=pool, fields=UNIQUE, settings=SETTINGS
        )
        self.posts = PostgresPosts(self._database)
        self.comments = PostgresComments(self._database)
        self.products = PostgresProducts(self._database)
        self.views = SqlViews(self._database)
        self.outbox = SqlOutbox(self._database)
        self.dump = DocumentsDump(self._database)
        self.place = DocumentsPlace(self._database, PostgresEngine(), self.dump, "TRUNCATE")
