"""The WSGI server: granian, with workers forked before anything is opened (docs/decisions/0039-forked-workers.md)."""

import logging
import multiprocessing
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection, wait
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.log import LOGGING_CONFIG, LogLevels
from granian.server.mp import MPServer, WorkerProcess

from app.server import bodies, gate
from app.server.draining import drain_first
from app.server.orphan import end_with

# Connections per worker. granian counts idle keep-alive connections too, so this does not bound the work.
CONNECTIONS = 4096
# How long a worker may take to stop. Enough for any request, but a client that never finishes sending is not awaited.
DRAIN_SECONDS = 10
# The start of granian's warning about many threads. It does not apply, because `gate.py` limits the running requests.
_ADVICE = "Configuration allows spawning up to"
# Forking is safe only if no library has started threads; on macOS, system libraries do.
_FORKS = sys.platform == "linux"
# In a worker: the pipe by which the main process tells it that it may begin.
_start_receiver: "Connection[Any, Any] | None" = None
_HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class OtherServer(Exception):
    """The application was imported by another WSGI server."""

    def __init__(self) -> None:
        super().__init__(
            "this application is served by `quartet serve` and by no other WSGI server: see docs/deploying.md"
        )


def refuse_other_servers() -> None:
    """Raise `OtherServer` unless this process is a worker of `Server`.

    The handling of bodies that never arrive, of streams and of shutdown works only with granian.
    """
    if _start_receiver is None:
        raise OtherServer


def await_word() -> None:
    """In a worker: block until the main process has entered `beside` (see `Server`). Open no store before.

    Call this after everything that opens nothing: it then runs while the main process checks and migrates the stores.
    """
    if _start_receiver is not None:
        _start_receiver.poll(None)


class WithoutAdvice(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(_ADVICE)


class Server(MPServer):
    """granian's server. Forks its workers while this process has opened nothing, enters `beside`, lets them begin."""

    def __init__(self, target: str, beside: AbstractContextManager[object], **options: Any) -> None:
        super().__init__(target, **options)
        self._beside = beside
        self._entered = ExitStack()
        self._start_receiver, self._start_sender = multiprocessing.Pipe(duplex=False)

    def serve(self) -> None:  # type: ignore[override]  # granian's takes a loader, and here it is given
        """Serve until SIGTERM or SIGINT. Raises what entering `beside` raises, without having served."""
        multiprocessing.set_start_method("fork" if _FORKS else "spawn", force=True)
        with self._entered:
            super().serve(target_loader=partial(_load, self._start_receiver, self._start_sender))

    def _spawn_worker(self, *args: Any, **options: Any) -> WorkerProcess:
        """As granian's, but whether the worker is alive does not depend on which thread has waited for it.

        granian has a thread that waits for each worker. Once that thread has collected the exit status, `is_alive`
        cannot, and is true until the thread has noted it: granian then warns that it kills a worker that has ended.
        """
        worker: WorkerProcess = super()._spawn_worker(*args, **options)
        worker.is_alive = partial(_is_running, worker)  # type: ignore[method-assign]
        return worker

    def startup(self, spawn_target: Any, target_loader: Any) -> None:
        """As granian's, and enter `beside`. Meanwhile signals have their default effect: they end this process."""
        try:
            with _signals_blocked():
                super().startup(spawn_target, target_loader)  # type: ignore[no-untyped-call]
                own = {number: signal.signal(number, _default(number)) for number in _HANDLED}
            self._entered.enter_context(self._beside)
        except BaseException:
            for worker in self.wrks:
                worker.terminate()  # type: ignore[no-untyped-call]
            raise
        for number, handler in own.items():
            signal.signal(number, handler)
        # From now on this process has threads, so a worker that replaces another must be spawned, not forked.
        multiprocessing.set_start_method("spawn", force=True)
        self._start_sender.send(None)


def _is_running(worker: WorkerProcess) -> bool:
    """The sentinel is a pipe that is closed when the process ends."""
    return not wait([worker.inner.sentinel], timeout=0)


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Block `_HANDLED` inside the block; signals that arrive there are delivered at its end."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)


def _default(number: int) -> Any:
    return signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL


def _load(receiver: "Connection[Any, Any]", sender: "Connection[Any, Any]", target: str) -> Any:
    """In a worker: import and return the target, after waiting until the main process lets the workers begin.

    The target may wait itself (`await_word`) while it is imported. Until granian sets its handlers, a signal ends the
    worker. SIGINT is blocked in the worker and its threads.
    """
    global _start_receiver  # noqa: PLW0603  one process, one server
    sender.close()
    _start_receiver = receiver
    for number in _HANDLED:
        signal.signal(number, signal.SIG_DFL)
    # Ctrl-C in a terminal sends SIGINT to every process, and then the main process sends SIGTERM to its workers. The
    # kernel may deliver both to a thread other than the main one, which then sleeps on: one signal is enough.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGHUP})
    end_with(receiver)
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
    """Create the server for `target`, a `module:callable`. Each worker starts threads as they are needed.

    On SIGTERM it goes on for `drain_seconds`, then stops accepting and lets running requests finish. `beside` is
    entered in this process after the workers have been started, which wait for that, and exited when they have ended.
    `formatter`, a formatter of `logging.config`, formats granian's own log lines, also those of a worker before its
    target is imported.
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
    # granian calls this after it has set its signal handlers.
    made.on_startup(partial(drain_first, drain_seconds))
    return made
