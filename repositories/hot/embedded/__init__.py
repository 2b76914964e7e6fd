"""Sessions and the stores of the cache in SQLite."""
