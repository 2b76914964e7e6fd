"""The WSGI server. Decided in docs/decisions/0039-forked-workers.md."""

import logging
import multiprocessing
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.log import LOGGING_CONFIG, LogLevels
from granian.server.mp import MPServer

from app.server import bodies, gate
from app.server.draining import drain_first
from app.server.orphan import end_with

# Of each worker. granian counts idle keep-alive connections too, so this is no bound on work.
CONNECTIONS = 4096
# Long enough for any request; a client that never finishes sending does not keep the server from ending.
DRAIN_SECONDS = 10
# What granian advises on many threads: it does not know of the gate in `gate.py`.
_ADVICE = "Configuration allows spawning up to"
# Forking is safe where no library starts threads of its own; on macOS the system's do.
_FORKS = sys.platform == "linux"
# In a worker: what the main process says its word by.
_word: "Connection[Any, Any] | None" = None
_HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class OtherServer(Exception):
    """Raised where the application is imported by another WSGI server."""

    def __init__(self) -> None:
        super().__init__(
            "this application is served by `quartet serve` and by no other WSGI server: see docs/deploying.md"
        )


def refuse_other_servers() -> None:
    """What ends bodies that never come, streams and workers is made for granian. Raises `OtherServer`."""
    if _word is None:
        raise OtherServer


def await_word() -> None:
    """In a worker: return when the main process has done what is beside serving, which no store may be opened before.

    What opens nothing is best made earlier: the main process checks and migrates meanwhile.
    """
    if _word is not None:
        _word.poll(None)


class WithoutAdvice(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(_ADVICE)


class Server(MPServer):
    """Forks its workers while this process has opened nothing, then enters `beside`, then lets them begin."""

    def __init__(self, target: str, beside: AbstractContextManager[object], **options: Any) -> None:
        super().__init__(target, **options)
        self._beside = beside
        self._entered = ExitStack()
        self._word, self._say = multiprocessing.Pipe(duplex=False)

    def serve(self) -> None:  # type: ignore[override]  # granian's takes a loader, and here it is given
        """Serve until SIGTERM or SIGINT. Raises what entering `beside` raises, without having served."""
        multiprocessing.set_start_method("fork" if _FORKS else "spawn", force=True)
        with self._entered:
            super().serve(target_loader=partial(_load, self._word, self._say))

    def startup(self, spawn_target: Any, target_loader: Any) -> None:
        """As granian's. While `beside` is entered, signals end this process as if it served nothing."""
        try:
            with _held_back():
                super().startup(spawn_target, target_loader)  # type: ignore[no-untyped-call]
                own = {number: signal.signal(number, _default(number)) for number in _HANDLED}
            self._entered.enter_context(self._beside)
        except BaseException:
            for worker in self.wrks:
                worker.terminate()  # type: ignore[no-untyped-call]
            raise
        for number, handler in own.items():
            signal.signal(number, handler)
        # This process has threads from now on, so a worker that is started in another's place begins afresh.
        multiprocessing.set_start_method("spawn", force=True)
        self._say.send(None)


@contextmanager
def _held_back() -> Iterator[None]:
    """Signals that come meanwhile are handled afterwards."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)


def _default(number: int) -> Any:
    return signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL


def _load(word: "Connection[Any, Any]", say: "Connection[Any, Any]", target: str) -> Any:
    """In a worker: import the target, which may wait for the main process's word, and wait for it.

    Until granian sets its own handlers, a signal ends the worker.
    """
    global _word  # noqa: PLW0603  one process, one server
    say.close()
    _word = word
    for number in _HANDLED:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
    end_with(word)
    module, _, name = target.partition(":")
    found = getattr(import_module(module), name)
    await_word()
    return found


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
    beside: AbstractContextManager[object] = nullcontext(),  # noqa: B008 - it has no state
) -> Server:
    """granian over `target`, a `module:callable`. Each worker starts threads as they are needed.

    On SIGTERM it goes on for `drain_seconds`, then stops accepting and lets what is under way finish. `beside` is
    entered in this process when the workers are there, which wait for it, and left when they have ended. `formatter`,
    in the words of `logging.config`, forms the lines of granian itself, also of its workers before their target is
    there.
    """
    parts: dict[str, Any] = LOGGING_CONFIG
    console = {**parts["handlers"]["console"], "stream": "ext://sys.stderr", "filters": ["advice"]}
    made = Server(
        target,
        beside,
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
