"""Kept pages, and the fast path that answers with them before Flask."""
