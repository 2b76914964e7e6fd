"""What every command shares: idempotency keys, retries, preconditions."""
