"""A PostgreSQL server, for whichever role it serves: connections, deadlines, errors, several hosts."""
