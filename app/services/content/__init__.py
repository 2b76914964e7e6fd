"""Posts, comments and products."""
