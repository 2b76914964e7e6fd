"""The data layer: each role has a port and one adapter per supported engine, including an embedded one on SQLite.

`relational`, `documents`, `feeds` and `hot` are stores; `sinks` and `search` connect to other systems. These packages
never import one another; what they share is here. Read first: `records` (the data types of the ports), `errors` (what
ports raise), `store` (the operations of every store) and `outbox` (the relay's interface to both outboxes). `sql` is
what SQLite (`sqlite`) and PostgreSQL (`postgres`) have in common. `docs/extending.md` explains how to add an engine.
"""
