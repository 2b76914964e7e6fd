"""Receivers of webhooks, as operators manage them."""
