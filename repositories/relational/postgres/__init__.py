"""PostgreSQL: engine, errors, deadlines."""
