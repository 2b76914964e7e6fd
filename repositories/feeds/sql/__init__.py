"""Feeds in an SQL database: what the adapters of SQLite and PostgreSQL share."""
