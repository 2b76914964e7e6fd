"""Backups: all truths of a running system in one file, and back into any set of engines."""

from app.backup.command import dump, restore

__all__ = ["dump", "restore"]
