"""The WSGI server."""

import multiprocessing
from typing import Any

# Of each worker. granian counts idle keep-alive connections too, so this is no bound on work.
CONNECTIONS = 4096
# Long enough for any request; a client that never finishes sending does not keep the server from ending.
DRAIN_SECONDS = 10


def server(target: str, *, host: str, port: int, workers: int, threads: int) -> Any:
    """granian over `target`, a `module:callable`, with so many blocking threads in each worker.

    On SIGTERM it stops accepting and lets what is under way finish. Workers are spawned, not forked: each imports the
    target and connects by itself, and a signal during its start ends it.
    """
    from granian import Granian
    from granian.constants import Interfaces
    from granian.log import LogLevels

    multiprocessing.set_start_method("spawn", force=True)
    return Granian(
        target,
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=threads,
        backlog=CONNECTIONS,
        backpressure=CONNECTIONS,
        workers_kill_timeout=DRAIN_SECONDS,
        respawn_failed_workers=True,
        log_level=LogLevels.warning,
    )
