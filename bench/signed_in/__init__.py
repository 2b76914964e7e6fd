"""Reads of people who are signed in: this build, one before it, Flask with one SQL join, and a Flask hello."""
