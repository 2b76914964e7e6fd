"""The tables of the documents. A document is JSON in bytes; members that are searched or updated separately have their
own column.

`jsonb` would reject NUL, lose the order of names, and return the float 1e16 as an integer. Times are microseconds since
1970. Text is compared by code points, whatever the database's collation. A row is either a live document or, with
`deleted_at`, a tombstone.
"""

from repositories.documents.sql.indexes import INDEXES

# A fillfactor leaves room in the page for a row's next version, which then needs no new index entry (HOT update).
TABLES = (
    """
    CREATE TABLE IF NOT EXISTS documents_posts (
        id uuid PRIMARY KEY,
        author_id uuid,
        version bigint NOT NULL,
        comments bigint NOT NULL DEFAULT 0,
        comment_seq bigint NOT NULL DEFAULT 0,
        in_flight boolean,
        deleted_at bigint,
        document bytea,
        CHECK (deleted_at IS NOT NULL OR author_id IS NOT NULL AND document IS NOT NULL)
    ) WITH (fillfactor = 90)
    """,
    """
    CREATE TABLE IF NOT EXISTS documents_tags (
        tag text COLLATE "C" NOT NULL,
        post_id uuid NOT NULL,
        PRIMARY KEY (tag, post_id)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS documents_views (post_id uuid PRIMARY KEY, n bigint NOT NULL, batch bigint NOT NULL)
    WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE IF NOT EXISTS documents_comments (
        post_id uuid NOT NULL,
        number bigint NOT NULL,
        author_id uuid,
        deleted_at bigint,
        document bytea,
        PRIMARY KEY (post_id, number),
        CHECK (deleted_at IS NOT NULL OR author_id IS NOT NULL AND document IS NOT NULL)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS documents_products (
        id uuid PRIMARY KEY,
        seller_id uuid,
        category text COLLATE "C",
        price bigint,
        version bigint NOT NULL,
        deleted_at bigint,
        document bytea,
        CHECK (deleted_at IS NOT NULL OR
            seller_id IS NOT NULL AND category IS NOT NULL AND price IS NOT NULL AND document IS NOT NULL)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS documents_attributes (
        name text COLLATE "C" NOT NULL,
        text text COLLATE "C" NOT NULL,
        product_id uuid NOT NULL,
        PRIMARY KEY (name, text, product_id)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS documents_events (
        seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        kind text COLLATE "C" NOT NULL,
        document_id uuid NOT NULL,
        number bigint NOT NULL,
        id uuid NOT NULL,
        type text COLLATE "C" NOT NULL,
        aggregate text COLLATE "C" NOT NULL,
        happened_at bigint NOT NULL,
        payload bytea NOT NULL,
        traceparent text COLLATE "C" NOT NULL DEFAULT '',
        publishes boolean NOT NULL,
        attempts bigint NOT NULL,
        due_at bigint NOT NULL,
        lease uuid,
        lease_until bigint,
        dead_lettered_at bigint,
        reason text COLLATE "C"
    ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000)
    """,
    *INDEXES,
)
UNIQUE = {"documents_posts_pkey": "id", "documents_products_pkey": "id"}
