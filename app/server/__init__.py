"""The server: granian, its streams, its end."""
