"""The tables of the embedded documents. A document is JSON (bytes; text if an earlier version wrote it). Members that
are searched or updated separately have their own column.

Ids are text, times are microseconds since 1970. A row with `deleted_at` and without a document is a tombstone.
"""

from repositories.documents.sql.indexes import AUTHOR, INDEXES, SELLER
from repositories.sql import SchemaChange

TABLES = (
    """
    CREATE TABLE IF NOT EXISTS documents_views (
        post_id TEXT PRIMARY KEY, n INTEGER NOT NULL, batch INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE IF NOT EXISTS documents_posts (
        id TEXT PRIMARY KEY,
        author_id TEXT,
        version INTEGER NOT NULL,
        comments INTEGER NOT NULL DEFAULT 0,
        comment_seq INTEGER NOT NULL DEFAULT 0,
        in_flight INTEGER,
        deleted_at INTEGER,
        document BLOB
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS documents_tags (
        tag TEXT NOT NULL,
        post_id TEXT NOT NULL,
        PRIMARY KEY (tag, post_id)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE IF NOT EXISTS documents_comments (
        post_id TEXT NOT NULL,
        number INTEGER NOT NULL,
        author_id TEXT,
        deleted_at INTEGER,
        document BLOB,
        PRIMARY KEY (post_id, number)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE IF NOT EXISTS documents_products (
        id TEXT PRIMARY KEY,
        seller_id TEXT,
        category TEXT,
        price INTEGER,
        version INTEGER NOT NULL,
        deleted_at INTEGER,
        document BLOB
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS documents_attributes (
        name TEXT NOT NULL,
        text TEXT NOT NULL,
        product_id TEXT NOT NULL,
        PRIMARY KEY (name, text, product_id)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE IF NOT EXISTS documents_events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        document_id TEXT NOT NULL,
        number INTEGER NOT NULL,
        id TEXT NOT NULL,
        type TEXT NOT NULL,
        aggregate TEXT NOT NULL,
        happened_at INTEGER NOT NULL,
        payload BLOB NOT NULL,
        traceparent TEXT NOT NULL DEFAULT '',
        publishes INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        due_at INTEGER NOT NULL,
        lease TEXT,
        lease_until INTEGER,
        dead_lettered_at INTEGER,
        reason TEXT
    )
    """,
    *INDEXES,
)
CHANGES = (
    SchemaChange(
        "rename documents_events.parked_at",
        "SELECT 1 FROM pragma_table_info('documents_events') WHERE name = 'parked_at'",
        (
            "DROP INDEX documents_events_parked",
            "ALTER TABLE documents_events RENAME COLUMN parked_at TO dead_lettered_at",
        ),
    ),
    SchemaChange(
        "add documents_events.traceparent",
        "SELECT 1 FROM pragma_table_info('documents_events') GROUP BY NULL HAVING NOT max(name = 'traceparent')",
        ("ALTER TABLE documents_events ADD COLUMN traceparent TEXT NOT NULL DEFAULT ''",),
    ),
    SchemaChange(
        "add documents_comments.author_id",
        "SELECT 1 FROM pragma_table_info('documents_comments') GROUP BY NULL HAVING NOT max(name = 'author_id')",
        (
            "DROP INDEX documents_comments_author",
            "ALTER TABLE documents_comments ADD COLUMN author_id TEXT",
            "UPDATE documents_comments SET author_id = json_extract(document, '$.author_id')",
            AUTHOR,
        ),
    ),
    SchemaChange(
        "add documents_products.seller_id",
        "SELECT 1 FROM pragma_table_info('documents_products') GROUP BY NULL HAVING NOT max(name = 'seller_id')",
        (
            "DROP INDEX documents_products_seller",
            "ALTER TABLE documents_products ADD COLUMN seller_id TEXT",
            "UPDATE documents_products SET seller_id = json_extract(document, '$.seller_id')",
            SELLER,
        ),
    ),
)
