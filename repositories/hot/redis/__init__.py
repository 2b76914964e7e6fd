"""Sessions and cache in Redis."""
