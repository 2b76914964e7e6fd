"""Backups: dumps all truths of a running system into one file, and restores it into any set of engines."""

from app.backup.command import dump, restore

__all__ = ["dump", "restore"]
