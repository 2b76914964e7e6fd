"""The WSGI server."""

import logging
import multiprocessing
from collections.abc import Mapping
from functools import partial
from typing import Any

from app.server import bodies, gate
from app.server.draining import drain_first

# Of each worker. granian counts idle keep-alive connections too, so this is no bound on work.
CONNECTIONS = 4096
# Long enough for any request; a client that never finishes sending does not keep the server from ending.
DRAIN_SECONDS = 10
# What granian advises on many threads: it does not know of the gate in `gate.py`.
_ADVICE = "Configuration allows spawning up to"


class WithoutAdvice(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(_ADVICE)


def server(
    target: str,
    *,
    host: str,
    port: int,
    workers: int,
    threads: int,
    streams: int = 0,
    drain_seconds: float = 0,
    formatter: Mapping[str, object] | None = None,
) -> Any:
    """granian over `target`, a `module:callable`. Each worker starts threads as they are needed.

    On SIGTERM it goes on for `drain_seconds`, then stops accepting and lets what is under way finish. Workers are
    spawned, not forked: each imports the target and connects by itself, and a signal during its start ends it.
    `formatter`, in the words of `logging.config`, forms the lines of granian itself, also of its workers before their
    target is there.
    """
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces
    from granian.log import LOGGING_CONFIG, LogLevels

    parts: dict[str, Any] = LOGGING_CONFIG
    console = {**parts["handlers"]["console"], "stream": "ext://sys.stderr", "filters": ["advice"]}
    multiprocessing.set_start_method("spawn", force=True)
    made = Granian(
        target,
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        http=HTTPModes.http1,
        blocking_threads=threads + streams + bodies.MOST + gate.MOST,
        backlog=CONNECTIONS,
        backpressure=CONNECTIONS,
        workers_kill_timeout=DRAIN_SECONDS,
        respawn_failed_workers=True,
        log_level=LogLevels.warning,
        log_dictconfig={
            "filters": {"advice": {"()": WithoutAdvice}},
            "formatters": parts["formatters"] | ({"generic": formatter} if formatter else {}),
            "handlers": parts["handlers"] | {"console": console},
        },
    )
    # Called once granian has set its handlers.
    made.on_startup(partial(drain_first, drain_seconds))
    return made
