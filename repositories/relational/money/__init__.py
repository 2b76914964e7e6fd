"""Ledger, stock, orders and idempotency keys."""
