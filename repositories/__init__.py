"""The data layer: four roles, each a port with a real adapter and an embedded one, on SQLite.

`relational`, `documents`, `feeds` and `hot` never import one another; what they share is here:
`records` (what ports speak), `errors` (what ports raise), `outbox` (the relay's side of both truths) and
`sqlite` (the file under every embedded adapter). A new adapter is one module in its role's folder that inherits the
port, one branch in that folder's `open_store`, and one line in the contract suite's list of adapters.
"""
