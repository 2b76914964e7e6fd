"""The application: HTTP, rules, wiring. Imports nothing; the server imports `app.wsgi`, people run `quartet`."""
