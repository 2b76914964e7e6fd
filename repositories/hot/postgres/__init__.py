"""Sessions and cache in PostgreSQL: a logged table for what is the truth, unlogged ones for what may be lost."""
