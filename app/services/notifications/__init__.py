"""Notifications: written by events, grouped when read."""
