"""Feeds: what deliveries and pages cost, see bench/README.md."""
