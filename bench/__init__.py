"""Benchmarks. Each prints its figures next to those of a baseline that was measured in the same run."""
