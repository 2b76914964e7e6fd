"""Accounts, sessions and the follow graph."""
