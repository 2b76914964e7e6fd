"""Asks all stores for their state in parallel, each within its own timeout."""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from msgspec import Struct

from repositories.errors import ReadOnly, StoreError
from repositories.read_your_writes import ReplicaState
from repositories.store import Store


class StoreAnswer(Struct, frozen=True):
    """The state of a store; asking it took `ms` milliseconds.

    `status` is `ok`, `degraded` (it serves, and `notes` tell what is wrong), `read_only` or `unavailable`. `why` is the
    adapter's error, which names hosts: for operators only. `replicas` is None if the store has none.
    """

    status: str
    ms: float
    notes: list[str]
    replicas: list[ReplicaState] | None
    why: str = ""


def ask_all(stores: Mapping[str, Store]) -> dict[str, StoreAnswer]:
    """The state of each store, by name. They are asked in parallel, so one that is away does not delay the others.

    Their round trips are counted for the current request.
    """
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
