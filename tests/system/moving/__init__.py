"""Moves of roles under write traffic, stopped or killed at every step."""
