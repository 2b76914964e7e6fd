"""Sessions and cache in SQLite."""
