"""Answers that are kept whole, and the path that serves them without a view."""
