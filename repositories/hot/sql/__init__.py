"""What the hot stores in SQLite and PostgreSQL have in common: the statements that run on both."""
