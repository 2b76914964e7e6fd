"""The indexes of the document tables, the same for SQLite and PostgreSQL."""

AUTHOR = "CREATE INDEX IF NOT EXISTS documents_comments_author ON documents_comments (author_id, post_id, number)"
SELLER = "CREATE INDEX IF NOT EXISTS documents_products_seller ON documents_products (seller_id, id)"
INDEXES = (
    "CREATE INDEX IF NOT EXISTS documents_posts_author ON documents_posts (author_id, id)",
    """
    CREATE INDEX IF NOT EXISTS documents_posts_in_flight ON documents_posts (author_id, id)
    WHERE in_flight IS NOT NULL
    """,
    """
    CREATE INDEX IF NOT EXISTS documents_posts_in_flight_ids ON documents_posts (id, author_id)
    WHERE in_flight IS NOT NULL
    """,
    "CREATE INDEX IF NOT EXISTS documents_tags_post ON documents_tags (post_id)",
    AUTHOR,
    "CREATE INDEX IF NOT EXISTS documents_products_category ON documents_products (category, id)",
    "CREATE INDEX IF NOT EXISTS documents_products_price ON documents_products (price, id)",
    SELLER,
    "CREATE INDEX IF NOT EXISTS documents_attributes_product ON documents_attributes (product_id, name, text)",
    "CREATE INDEX IF NOT EXISTS documents_events_id ON documents_events (id)",
    """
    CREATE INDEX IF NOT EXISTS documents_events_document
    ON documents_events (kind, document_id, number, seq, dead_lettered_at, publishes)
    """,
    """
    CREATE INDEX IF NOT EXISTS documents_events_due ON documents_events (due_at, seq, happened_at)
    WHERE dead_lettered_at IS NULL
    """,
    """
    CREATE INDEX IF NOT EXISTS documents_events_postponed ON documents_events (due_at)
    WHERE dead_lettered_at IS NULL AND reason IS NOT NULL
    """,
    """
    CREATE INDEX IF NOT EXISTS documents_events_dead_lettered ON documents_events (dead_lettered_at, id)
    WHERE dead_lettered_at IS NOT NULL
    """,
)
