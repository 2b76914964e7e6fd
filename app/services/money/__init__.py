"""Wallets, orders and payments."""
