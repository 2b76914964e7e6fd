"""The WSGI server granian, and what is added to it: admission, bodies, live streams and shutdown."""
