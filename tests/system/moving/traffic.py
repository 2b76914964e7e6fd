"""People who pay, publish, comment and follow while roles move, with a record of what was acknowledged."""

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from werkzeug.test import Client, TestResponse

from app.container import Container, build
from app.http import create_app
from app.http.following_moves import Current
from app.moved_roles import Following
from app.worker.running import relay_of
from config import Settings
from tests.apps import BASE, PlainHasher, System

RICH = 1_000_000
# Seconds between one person's rounds, since the move runs on the same machine.
PAUSE = 0.2
# Statuses after which the same request may be sent again.
AGAIN = (409, 429, 503)


class Traffic:
    """Write traffic. `posts`, `comments` and `balance` count what was acknowledged."""

    def __init__(self, container: Container, people: int = 4) -> None:
        self._current = Current(container, create_app)
        self.following = Following(container, self._current.use, rebuild, self._current.prepare)
        self._current.is_moving, self._current.has_moved = self.following.is_moving, self.following.has_moved
        self._client = Client(self._current)
        system = System(container)
        self.people = [system.person().rich(RICH) for _ in range(people)]
        self.posts: Counter[int] = Counter()
        self.balance = Counter(dict.fromkeys(range(people), RICH))
        self.first = self.people[0].publish("The first")
        self.posts[0] += 1
        self.comments = 0
        self.refused: Counter[int] = Counter()
        self.strange: list[BaseException] = []
        self.done: Counter[str] = Counter()
        self._guard = threading.Lock()

    @property
    def container(self) -> Container:
        return self.following.container

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Run the traffic within the block: a thread per person, one that follows moves, one that dispatches events."""
        stop = threading.Event()
        works: list[Callable[[threading.Event], None]] = [self.following.run, self._relay]
        works += [partial(self._write, one) for one in range(len(self.people))]
        threads = [threading.Thread(target=self._guarded, args=(work, stop)) for work in works]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()
            self.following.close()
        assert not self.strange, self.strange

    def until(self, more: int) -> None:
        """Wait until `more` further writes are acknowledged."""
        goal, pause = sum(self.done.values()) + more, threading.Event()
        while sum(self.done.values()) < goal and not self.strange:
            pause.wait(0.01)

    def until_at(self, role: str, url: str) -> None:
        """Wait until this process uses this place."""
        pause = threading.Event()
        while getattr(self.container.settings, f"{role}_url") != url and not self.strange:
            pause.wait(0.01)

    def check(self) -> None:
        """Check that nothing is lost or duplicated, and that the ledger's audit finds nothing."""
        wallets = [self._answer(one, "GET", "/wallet").get_json()["items"][0] for one in range(len(self.people))]
        assert [one["available"]["amount"] for one in wallets] == [self.balance[one] for one in range(len(wallets))]
        documents = self.container.stores.documents
        counted = documents.posts.counts([self._id(one) for one in range(len(self.people))])
        assert [counted[self._id(one)] for one in range(len(self.people))] == [
            self.posts[one] for one in range(len(self.people))
        ]
        first = self._answer(0, "GET", f"/posts/{self.first}").get_json()
        assert first["stats"]["comments"] == self.comments
        assert list(self.container.stores.relational.audit.ledger()) == []
        assert list(self.container.stores.relational.audit.stock()) == []

    def _id(self, one: int) -> UUID:
        return UUID(self.people[one].account["id"])

    def _relay(self, stop: threading.Event) -> None:
        container, relay = self.container, relay_of(self.container)
        while not stop.wait(0.1):
            if container is not self.container:
                container, relay = self.container, relay_of(self.container)
            relay.round(stop)

    def _write(self, one: int, stop: threading.Event) -> None:
        others = itertools.cycle([other for other in range(len(self.people)) if other != one])
        for number in itertools.count(1):
            if stop.wait(PAUSE):
                return
            other = next(others)
            handle = self.people[other].handle
            amount = number % 7 + 1
            money = {"amount": amount, "currency": "EUR"}
            self._acknowledged(one, "POST", "/wallet/transfers", {"to": handle, "amount": money})
            with self._guard:
                self.balance[one] -= amount
                self.balance[other] += amount
                self.done["transfers"] += 1
            self._acknowledged(one, "POST", "/posts", {"title": f"{number}", "body": "words", "tags": ["moving"]})
            self._acknowledged(one, "POST", f"/posts/{self.first}/comments", {"body": f"{number}"})
            self._acknowledged(one, "DELETE" if number % 2 else "PUT", f"/accounts/{handle}/follow")
            with self._guard:
                self.posts[one] += 1
                self.comments += 1
                self.done["others"] += 3

    def _acknowledged(self, one: int, method: str, path: str, body: Any = None) -> None:
        """Send a request; repeat it with the same key until its outcome is known, even after the block has ended."""
        key, pause = str(uuid4()), threading.Event()
        while True:
            answer = self._answer(one, method, path, body, {"Idempotency-Key": key} if body else {})
            if answer.status_code < 300:
                return
            assert answer.status_code in AGAIN, answer.get_data(as_text=True)
            self.refused[answer.status_code] += 1
            pause.wait(0.02)

    def _answer(
        self, one: int, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> TestResponse:
        signed = {"Authorization": f"Bearer {self.people[one].token}", **(headers or {})}
        return self._client.open(BASE + path, method=method, json=body, headers=signed)

    def _guarded(self, work: Callable[[threading.Event], None], stop: threading.Event) -> None:
        try:
            work(stop)
        except BaseException as error:  # noqa: BLE001  every kind is a finding
            self.strange.append(error)


def rebuild(settings: Settings) -> Container:
    return build(settings, hasher=PlainHasher())


def place_in(folder: Path, name: str) -> str:
    return f"sqlite:///{folder}/{name}.db"
