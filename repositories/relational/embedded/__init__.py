"""The relational store in SQLite."""
