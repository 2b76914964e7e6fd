"""What SQLite and PostgreSQL have in common as hot stores: the statements that run on both."""
