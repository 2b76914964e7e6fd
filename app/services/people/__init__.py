"""Accounts, sessions and who follows whom."""
