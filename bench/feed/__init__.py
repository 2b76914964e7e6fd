"""Benchmarks of feeds: the cost of deliveries and pages, see bench/README.md."""
