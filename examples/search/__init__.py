"""A full-text search with its own database, kept up to date by Quartet's events."""
