"""Accounts, follows, blocks and likes."""
