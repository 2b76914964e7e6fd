"""Documents in a database of SQL: what SQLite and PostgreSQL have in common."""
