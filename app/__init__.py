"""The application: HTTP, services, workers and commands. Imports nothing.

The server imports `app.wsgi`; the command `quartet` runs `app.entry`.
"""
