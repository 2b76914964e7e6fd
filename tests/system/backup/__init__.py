"""Backups of a running system: restored into other engines, truncated, altered, and interrupted."""
