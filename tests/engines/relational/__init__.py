"""PostgreSQL under trouble."""
