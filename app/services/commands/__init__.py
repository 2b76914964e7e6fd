"""Shared by all commands: idempotency keys, retries, preconditions, the kit."""
