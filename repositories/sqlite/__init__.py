"""The SQLite file of the embedded adapters: its path, opening it, and waiting for its writer."""
