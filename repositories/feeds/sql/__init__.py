"""Feeds in a database of SQL: what the adapters of SQLite and PostgreSQL share."""
