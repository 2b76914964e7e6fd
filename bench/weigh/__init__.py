"""Benchmark of custom components: what each saves on its route, next to the usual way to do the same."""
