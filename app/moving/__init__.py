"""Moves a role to another place while the system serves."""
