"""Feeds in Cassandra."""
