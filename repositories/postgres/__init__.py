"""PostgreSQL for any role: connections, deadlines, errors, several hosts."""
