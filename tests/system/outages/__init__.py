"""What every route answers while a store is refused, frozen, slow, cut off in the middle of answers, or read-only."""
