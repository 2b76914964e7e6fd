"""Benchmark of reading one post and a list: bare WSGI, Flask, and Quartet with and without caches, on one server."""
