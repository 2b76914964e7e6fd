"""Feeds in PostgreSQL."""
