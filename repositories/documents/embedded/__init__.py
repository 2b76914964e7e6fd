"""Documents in SQLite."""
