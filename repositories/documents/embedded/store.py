"""Documents in one SQLite file: nothing to install. The same promises as MongoDB's, tested by the same suite."""

from repositories.documents.embedded.schema import CHANGES, TABLES
from repositories.documents.port import DocumentStore
from repositories.documents.sql.comments import SqlComments
from repositories.documents.sql.dump import DocumentsDump
from repositories.documents.sql.outbox import SqlOutbox
from repositories.documents.sql.posts import SqlPosts
from repositories.documents.sql.products import SqlProducts
from repositories.documents.sql.views import SqlViews
from repositories.sqlite import SqliteBacked, SqliteFile, path_of


class EmbeddedDocuments(SqliteBacked, DocumentStore):
    """Connects when first used; may be used again after `close`."""

    _tables = TABLES
    _changes = CHANGES

    def __init__(self, url: str) -> None:
        self._file = SqliteFile(path_of(url), "documents")
        self.posts = SqlPosts(self._file)
        self.comments = SqlComments(self._file)
        self.products = SqlProducts(self._file)
        self.views = SqlViews(self._file)
        self.outbox = SqlOutbox(self._file)
        self.dump = DocumentsDump(self._file)
