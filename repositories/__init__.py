"""The data layer: each role has a port, and an adapter for each engine it may be on, one of them embedded, on SQLite.

`relational`, `documents`, `feeds` and `hot` are stores, `sinks` and `search` lead out of the system. They never import
one another; what they share is here. First to read: `records` (what ports speak), `errors` (what they raise), `store`
(what all stores have) and `outbox` (the relay's side of both truths). `sql` is what SQLite (`sqlite`) and PostgreSQL
(`postgres`) have in common. What it takes to add an engine is in `docs/extending.md`.
"""
