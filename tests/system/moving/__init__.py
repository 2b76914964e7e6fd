"""Roles that move while people write, stopped at every step."""
