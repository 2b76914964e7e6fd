"""Timelines and their fan-out."""
