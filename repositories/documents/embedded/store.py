"""Documents in one SQLite file: nothing to install. The same promises as MongoDB's, tested by the same suite."""

from repositories.documents.embedded.comments import EmbeddedComments
from repositories.documents.embedded.outbox import EmbeddedOutbox
from repositories.documents.embedded.posts import EmbeddedPosts
from repositories.documents.embedded.products import EmbeddedProducts
from repositories.documents.embedded.schema import CHANGES, TABLES
from repositories.documents.embedded.views import EmbeddedViews
from repositories.documents.port import DocumentStore
from repositories.sqlite import SqliteBacked, SqliteFile, path_of


class EmbeddedDocuments(SqliteBacked, DocumentStore):
    """Connects when first used; may be used again after `close`."""

    _tables = TABLES
    _changes = CHANGES

    def __init__(self, url: str) -> None:
        self._file = SqliteFile(path_of(url), "documents")
        self.posts = EmbeddedPosts(self._file)
        self.comments = EmbeddedComments(self._file)
        self.products = EmbeddedProducts(self._file)
        self.views = EmbeddedViews(self._file)
        self.outbox = EmbeddedOutbox(self._file)
