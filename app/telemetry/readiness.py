"""What the stores say of themselves, asked side by side, each within its own deadline."""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from msgspec import Struct

from repositories.errors import ReadOnly, StoreError
from repositories.read_your_writes import ReplicaState
from repositories.store import Store


class StoreAnswer(Struct, frozen=True):
    """`status` is `ok`, `degraded` (it serves, and `notes` say what is amiss), `read_only` or `unavailable`.

    `why` is what the store's adapter said, with names of hosts: for operators. `replicas` is None without any.
    """

    status: str
    ms: float
    notes: list[str]
    replicas: list[ReplicaState] | None
    why: str = ""


def ask_all(stores: Mapping[str, Store]) -> dict[str, StoreAnswer]:
    """By name. One that is away leaves the others their time. What they cost is counted with the request at hand."""
    with ThreadPoolExecutor(len(stores)) as pool:
        calls = {role: pool.submit(copy_context().run, _ask, store) for role, store in stores.items()}
    return {role: call.result() for role, call in calls.items()}


def _ask(store: Store) -> StoreAnswer:
    began = time.perf_counter()
    notes: list[str] = []
    why = ""
    try:
        store.ping()
        notes = store.notes()
        status = "degraded" if notes else "ok"
    except StoreError as error:
        status, why = "read_only" if isinstance(error, ReadOnly) else "unavailable", str(error)
    ms = round((time.perf_counter() - began) * 1000, 2)
    return StoreAnswer(status, ms, notes, store.replicas() if store.replicated else None, why)
