"""Backups of a running system, restored into other engines, cut off, altered and killed."""
