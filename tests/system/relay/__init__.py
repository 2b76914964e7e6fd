"""The relay delivers at least once and in order, despite events that always fail, unavailable stores, and crashes."""
