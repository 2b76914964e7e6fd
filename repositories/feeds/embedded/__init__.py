"""Feeds in SQLite."""
