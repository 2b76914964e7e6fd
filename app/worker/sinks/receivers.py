"""Serves each receiver of webhooks as a separate sink, following their additions, changes and removals."""

import logging
import random
import threading
from collections.abc import Callable
from datetime import timedelta

from msgspec import Struct

from app.container import Container
from app.worker.sinks.backoff import Jitter
from app.worker.sinks.sending import Policy, SinkWorker, worker_of
from repositories.address import BadAddress
from repositories.errors import StoreError
from repositories.relational.webhooks_port import Webhook
from repositories.sinks import open_webhook

log = logging.getLogger(__name__)
# Seconds between two looks for changed webhooks.
EVERY = 1.0


class _Served(Struct):
    webhook: Webhook
    secrets: tuple[str, ...]
    stop: threading.Event
    thread: threading.Thread


class Receivers:
    def __init__(self, container: Container) -> None:
        self._container = container
        self._served: list[_Served] = []

    def run(self, stop: threading.Event) -> None:
        """Serve all receivers until `stop` is set. A changed webhook gets a new worker."""
        while not stop.is_set():
            try:
                self._apply_changes()
            except StoreError as error:
                log.warning("changes of webhooks are not seen: %s", error)
            stop.wait(EVERY)
        self._stop(self._served)
        for one in self._served:
            one.thread.join(timeout=2 * self._container.settings.webhooks_timeout)

    def workers(self) -> list[SinkWorker]:
        return [found for one in self._webhooks() if (found := self._worker(one))]

    def _webhooks(self) -> list[Webhook]:
        return self._container.stores.relational.webhooks.all() if self._container.settings.webhooks_token else []

    def _apply_changes(self) -> None:
        now = self._container.kit.clock()
        current = {one: one.secrets(now) for one in self._webhooks()}
        over = [one for one in self._served if current.get(one.webhook) != one.secrets]
        self._stop(over)
        self._served = [one for one in self._served if one not in over]
        known = {one.webhook for one in self._served}
        for webhook, secrets in current.items():
            worker = None if webhook in known else self._worker(webhook)
            if worker:
                stop = threading.Event()
                thread = threading.Thread(target=worker.run, args=(stop,), name=webhook.sink, daemon=True)
                thread.start()
                self._served.append(_Served(webhook, secrets, stop, thread))

    def _stop(self, served: list[_Served]) -> None:
        """Tell the workers to stop, without waiting: each still finishes its current batch and records the outcome."""
        for one in served:
            one.stop.set()

    def _worker(self, webhook: Webhook) -> SinkWorker | None:
        settings, clock = self._container.settings, self._container.kit.clock
        try:
            sink = open_webhook(
                webhook.sink,
                webhook.url,
                webhook.secrets(clock()),
                timeout=settings.seconds("webhooks"),
                inside=settings.webhooks_inside,
                clock=clock,
            )
        except BadAddress as error:
            log.warning("the webhook %s is not served: %s", webhook.id, error)
            return None
        policy = Policy(
            _wanting(webhook.types),
            Jitter(timedelta(seconds=settings.webhooks_wait_seconds), random.Random()),  # noqa: S311  no secret
            timedelta(hours=settings.webhooks_event_hours),
            timedelta(hours=settings.webhooks_receiver_hours),
        )
        return worker_of(self._container, sink, policy)


def _wanting(types: tuple[str, ...]) -> Callable[[str], bool]:
    """A filter for these event types. No types means all."""
    return lambda type_: not types or type_ in types
