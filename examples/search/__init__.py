"""A full-text search with a database of its own, kept by Quartet's events."""
