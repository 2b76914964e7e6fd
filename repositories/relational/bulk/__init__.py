"""Bulk loading, for the seed."""
