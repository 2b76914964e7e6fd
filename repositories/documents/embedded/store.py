"""Documents in one SQLite file. Gives the same guarantees as the MongoDB adapter and passes the same contract suite."""

from repositories.documents.embedded.schema import CHANGES, TABLES
from repositories.documents.port import DocumentStore
from repositories.documents.sql.comments import SqlComments
from repositories.documents.sql.dump import DocumentsDump
from repositories.documents.sql.moving import DocumentsPlace
from repositories.documents.sql.outbox import SqlOutbox
from repositories.documents.sql.posts import SqlPosts
from repositories.documents.sql.products import SqlProducts
from repositories.documents.sql.views import SqlViews
from repositories.moving.sqlite import SqliteEngine
from repositories.sql import SqlBacked
from repositories.sqlite.database import SqliteDatabase
from repositories.sqlite.file import path_of


class EmbeddedDocuments(SqlBacked, DocumentStore):
    """Connects on first use; can be used again after `close`."""

    _tables = TABLES
    _changes = CHANGES

    def __init__(self, url: str) -> None:
        path = path_of(url)
        self._database = SqliteDatabase(path, "documents")
        self.posts = SqlPosts(self._database)
        self.comments = SqlComments(self._database)
        self.products = SqlProducts(self._database)
        self.views = SqlViews(self._database)
        self.outbox = SqlOutbox(self._database)
        self.dump = DocumentsDump(self._database)
        self.place = DocumentsPlace(self._database, SqliteEngine(path.exists), self.dump)
