"""Follows moves of roles: a process whose settings still name the old place of a role uses the new one.

A command looks once, when it starts (`forwarded`). Servers and relays watch the marks of all roles (`Following`). While
a role is being moved they build a second container for the new place. They switch to it when the move is done, and
close the old one after its last calls.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from app.container import Container, build, open_stores
from app.stores import Stores
from repositories.address import BadAddress
from repositories.errors import StoreError
from repositories.moving.places import CLOSED, Mark
from repositories.store import Store

if TYPE_CHECKING:
    from config import Settings

log = logging.getLogger(__name__)
MOST_HOPS = 16
# Seconds between two looks at the marks: normally, and during a move, in which writers wait for the switch.
IDLE_SECONDS, MOVING_SECONDS = 0.5, 0.05
# Seconds until the old container is closed, for calls in progress.
GRACE_SECONDS = 30.0


def forwarded(settings: "Settings", stores: Stores, ahead: Container | None = None) -> "Settings":
    """The settings with the URLs of the current places of all roles. Raises `BadAddress`.

    `stores` are open at the URLs of `settings`, and the stores of `ahead` at those of its own settings. If a place does
    not answer, forwarding ends there: it may be the truth, while the places before it are not.
    """
    for role, store in stores.by_role().items():
        settings = _role_forwarded(settings, role, store, ahead)
    return settings


def _role_forwarded(settings: "Settings", role: str, store: Store, ahead: Container | None) -> "Settings":
    name, arrived = f"{role}_url", -1
    for hop in range(MOST_HOPS):
        try:
            with nullcontext(store) if hop == 0 else _opened(settings, role, ahead) as here:
                place = here.place
                mark = place.mark() if place else None
                if place is None or mark is None or mark.state not in CLOSED:
                    return settings
                if mark.epoch <= arrived:
                    # The old place is marked as moved, so the switch is done. The first process that comes here opens
                    # the new place.
                    place.open(arrived)
                    return settings
        except StoreError as error:
            log.warning("whether the %s role has moved is not known: %s", role, error)
            return settings
        if mark.state == "moved":
            arrived = mark.epoch
        log.warning("the %s role has moved: set QUARTET_%s to where it is now", role, name.upper())
        settings = at(settings, role, mark.url)
    raise BadAddress("the moved places form a cycle: each names another as its new place", setting=name)


@contextmanager
def _opened(settings: "Settings", role: str, ahead: Container | None) -> Iterator[Store]:
    if ahead and ahead.settings == settings:
        # Use connections that are open already, since writers wait for this.
        yield ahead.stores.by_role()[role]
        return
    stores = open_stores(settings)
    try:
        yield stores.by_role()[role]
    finally:
        stores.close()


def arrived(container: Container, rebuild: Callable[["Settings"], Container] = build) -> Container:
    """This container, or a new one for the current places of the roles, since the settings may be old.

    For a process that does not serve yet: this container is closed if it is replaced. Raises `BadAddress`.
    """
    there = forwarded(container.settings, container.stores)
    if there == container.settings:
        return container
    container.close()
    return rebuild(there)


def at(settings: "Settings", role: str, url: str) -> "Settings":
    """The settings with another URL of a role. Replicas are left out, since they belong to the former URL."""
    changed: dict[str, Any] = {f"{role}_url": url} | ({"relational_replicas": ""} if role == "relational" else {})
    return replace(settings, **changed)


def follow(container: Container, stop: threading.Event, work: Callable[[Container, threading.Event], None]) -> None:
    """Run `work` until `stop` is set. When a role has moved, `work` is stopped and run again with a new container."""
    ended = threading.Event()
    following = Following(container, lambda _: ended.set())

    def watch() -> None:
        following.run(stop)
        ended.set()

    thread = threading.Thread(target=watch, name="following", daemon=True)
    thread.start()
    while True:
        ended.clear()
        if stop.is_set():
            break
        work(following.container, ended)
    thread.join()
    following.close()
    if following.container is not container:
        following.container.close()


class Following:
    """Watches the marks of all roles, and replaces the container when a role has moved.

    `act` is called with the container to be used from then on. If that one was built before the switch, `ahead` is
    called with it right after it was built. `rebuild` builds a container from settings.
    """

    def __init__(
        self,
        container: Container,
        act: Callable[[Container], None],
        rebuild: Callable[["Settings"], Container] = build,
        ahead: Callable[[Container], None] = lambda _: None,
    ) -> None:
        self.container = container
        self._act = act
        self._rebuild = rebuild
        self._prepare = ahead
        # Built in advance while a role is being moved, since from the switch on writers wait for it.
        self._next: Container | None = None
        # The roles that are being moved, or have been.
        self._moving: set[str] = set()
        self._retired: list[Container] = []
        container.stores.outdated.says = self.has_moved

    def look(self) -> float:
        """Look at the marks once, and switch to a new container if a role has moved.

        Returns the seconds until the next look.
        """
        marks = {role: self._mark(role) for role in self.container.stores.by_role()}
        left = {role for role, mark in marks.items() if mark and mark.state in CLOSED}
        leaving = {role: mark.url for role, mark in marks.items() if mark and mark.state == "leaving"}
        self._moving = {*left, *leaving}
        if left:
            try:
                there = forwarded(self.container.settings, self.container.stores, self._next)
                if there != self.container.settings:
                    self._switch_to(there)
            except (StoreError, BadAddress) as error:
                log.warning("a role has moved, and its new place cannot be used yet: %s", error)
            return MOVING_SECONDS
        if leaving:
            self._build_ahead(*next(iter(leaving.items())))
            return MOVING_SECONDS
        self._forget_next()
        return IDLE_SECONDS

    def is_moving(self) -> bool:
        """Whether a role is being moved, as far as this process knows. Makes no store call."""
        return bool(self._moving)

    def has_moved(self) -> bool:
        """Whether any of the roles known to be moving has moved by now. Reads their marks; makes no call if there are
        none.
        """
        return any(mark.state in CLOSED for mark in map(self._mark, self._moving) if mark)

    def run(self, stop: threading.Event) -> None:
        pause = 0.0
        while not stop.wait(pause):
            pause = self.look()

    def close(self) -> None:
        """Close all containers except the current one. The others must not be in use any more."""
        self._forget_next()
        while self._retired:
            self._retired.pop().close()

    def _mark(self, role: str) -> Mark | None:
        place = self.container.stores.by_role()[role].place
        try:
            return place.mark() if place else None
        except StoreError:
            return None

    def _build_ahead(self, role: str, url: str) -> None:
        wanted = at(self.container.settings, role, url)
        if self._next is not None and self._next.settings == wanted:
            return
        # It may be left from a move to another place that was given up.
        self._forget_next()
        try:
            self._next = self._rebuild(wanted)
            self._next.stores.by_role()[role].ping()
            self._prepare(self._next)
        except (StoreError, BadAddress) as error:
            log.warning("the new place of the %s role does not answer yet: %s", role, error)

    def _forget_next(self) -> None:
        if self._next is not None:
            self._next.close()
            self._next = None

    def _switch_to(self, settings: "Settings") -> None:
        if self._next is not None and self._next.settings != settings:
            self._forget_next()
        old, new = self.container, self._next or self._rebuild(settings)
        self._next = None
        old.stores.outdated.says = lambda: True
        new.stores.outdated.says = self.has_moved
        self.container = new
        self._act(new)
        old.commands.idempotency.follow(new.commands.idempotency)
        old.live.hub.close()
        self._retired.append(old)
        later = threading.Timer(GRACE_SECONDS, self._close, (old,))
        later.daemon = True
        later.start()

    def _close(self, old: Container) -> None:
        if old in self._retired:
            self._retired.remove(old)
            old.close()
