"""Reads of one post and of a list: bare WSGI, Flask, and Quartet with and without its caches, on one server."""
