"""The WSGI application, imported by each worker of the server: settings, container and Flask, one per worker."""

import logging
import signal
import threading
from contextlib import ExitStack
from functools import partial
from multiprocessing.util import Finalize

from app.container import build
from app.http import create_app
from app.http.edge import limiting, overload
from app.http.edge.body import BODY_LIMIT
from app.http.following_moves import Current
from app.moved_roles import Following, arrived
from app.server import bodies, gate
from app.server.bodies import Arrivals, hide_environment
from app.server.draining import DRAIN, Draining
from app.server.freed_memory import return_large_blocks
from app.server.granian import await_word, refuse_other_servers
from app.server.misbehaving_clients import Floods, shut_silent
from app.server.signals import ENDINGS, on_signals
from app.telemetry.exporting import export
from config import Settings
from config.logs import configure
from repositories.slow_statements import log_after

refuse_other_servers()
return_large_blocks()
closing = ExitStack()
# Not `atexit`: forked processes do not run its handlers. Spawned ones run this as well.
Finalize(None, closing.close, exitpriority=0)
closing.callback(logging.shutdown)
settings = Settings.from_env()
hide_environment()
configure(settings.log_level, settings.log_form)
log_after(settings.slow_seconds)
if settings.traces_url:
    closing.callback(export(settings.traces_url, settings.traces_sampled, settings.engines))


def close() -> None:
    following.container.close()


def end_streams() -> None:
    following.container.live.hub.close()


unopened = build(settings)
current = Current(unopened, create_app)
await_word()
container = arrived(unopened)
if container is not unopened:
    current.use(container)
app = current.app
following = Following(container, current.use, ahead=current.prepare)
current.is_moving, current.has_moved = following.is_moving, following.has_moved


def room() -> int:
    """The number of threads in which requests may wait: those used neither by streams nor by arriving bodies."""
    spare = gate.MOST + bodies.MOST - arrivals.waiting + settings.streams - following.container.live.hub.count
    return spare - gate.LOOKING


refusal = overload.Refusal(app)
closing.callback(refusal.report)
entrance = gate.Gate(
    current,
    settings.threads,
    seconds=settings.queue_seconds,
    refuse=refusal,
    spared=overload.spared,
    room=room,
)
peer = partial(limiting.address, proxies=settings.proxies, header=settings.proxy_header)
# A little later than the body's own deadline, so that the thread that waits for the body can report the timeout first.
give_up = partial(shut_silent, settings.port, 1.2 * settings.body_seconds)
arrivals = Arrivals(entrance, peer, BODY_LIMIT, settings.body_seconds, give_up, Floods(settings.port))
draining = Draining(arrivals)
app.wsgi_app = draining  # type: ignore[method-assign]  # Flask's documented way
closing.callback(close)
# The handler does nothing, since the signal is handled on another thread, see `on_signals`.
signal.signal(DRAIN, lambda *_: None)
on_signals({DRAIN: draining.begin, **dict.fromkeys(ENDINGS, end_streams)})
threading.Thread(target=following.run, args=(threading.Event(),), name="following", daemon=True).start()
if settings.metrics:
    # Imported late: the server has to set the directory in which its processes share metrics first.
    from app.telemetry.series import keep_sampling

    keep_sampling(lambda: {**entrance.levels(), "bodies": arrivals.waiting, "most_streams": settings.streams})
