"""Documents in an SQL database: the common part of the SQLite and PostgreSQL adapters."""
