"""Moves of a role to another place while the system serves, and how processes follow them."""
