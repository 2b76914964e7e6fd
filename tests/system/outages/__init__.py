"""What every route answers while a store refuses connections, is frozen, slow, cut off during answers, or read-only."""
