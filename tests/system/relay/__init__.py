"""The relay delivers at least once and in order, despite events that always fail, stores that are away, and crashes."""
