"""Benchmark of the same traffic on each rung, from one file to four engines."""
