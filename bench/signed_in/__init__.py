"""Benchmark of signed-in reads: this build, an earlier one, Flask with one SQL join, and a Flask hello."""
