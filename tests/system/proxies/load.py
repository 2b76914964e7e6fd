"""Generates requests through proxies for as long as a test needs them, and records failures."""

import json
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from uuid import uuid4

from tests.apps import BASE, PASSWORD
from tests.engines.kernel import wait_until
from tests.system.live import HOST, Client, answer_of
from tests.system.test_live_stream import Reader

# Seconds that a client of the stream is told to wait before it reconnects.
RETRY = 2.0
# Seconds. Longer than most connections of a proxy are idle under load, so that some requests use an idle one.
IDLE = 0.2
PRICE = {"amount": 100, "currency": "EUR"}
USER = {"password": PASSWORD, "display_name": "A user"}


class Load:
    """Requests through proxies: for each proxy and kind of request a thread that repeats it.

    `author` publishes, reads and follows a live stream. Another user uses the rest, so that every store is written to.
    """

    def __init__(self, author: Client) -> None:
        self.failed: list[str] = []
        self.published: set[str] = set()
        self.counts: dict[tuple[str, int], int] = {}
        self._author = author
        self._over = threading.Event()
        self._pool = ThreadPoolExecutor(20)
        self._clients: list[Client] = []
        product = {"title": "Mug", "category": "mugs", "price": PRICE}
        self._product = author.ask("POST", "/products", product)["product"]["id"]
        author.ask("PUT", f"/products/{self._product}/stock", {"on_hand": 100_000}, If_Match="*")
        # The user needs a post of the author's, possibly before one of the threads has published one.
        self.published.add(author.publish("The first post"))

    def begin(self, port: int) -> None:
        busy, reader, idle, user = (self._client(port) for _ in range(4))
        # Each signs in only once, since a password hash costs a tenth of a second of CPU.
        user.handle, user.token = f"user_{uuid4().hex[:12]}", None
        user.ask("POST", "/accounts", USER | {"handle": user.handle, "email": f"{user.handle}@example.com"})
        user.token = user.ask("POST", "/sessions", {"login": user.handle, "password": PASSWORD})["token"]
        self._repeated("published", port, partial(self._publish, busy, 0))
        self._repeated("read", port, lambda: reader.ask("GET", "/feed"))
        self._repeated("idle", port, partial(self._publish, idle, IDLE))
        self._repeated("slow", port, partial(self._send_slowly, port))
        self._repeated("used", port, partial(self._use, user))
        self._repeated("followed", port, partial(self._follow, port))

    def goes_on(self) -> bool:
        """Wait until every proxy has answered each kind once more. Except streams, which only end with a server."""
        before = {key: count for key, count in self.counts.items() if key[0] != "followed"}
        return wait_until(lambda: all(self.counts[key] > count for key, count in before.items()), 60)

    def stop(self) -> None:
        self._over.set()

    def close(self) -> None:
        """Wait for the threads. The servers must have ended before, and with them the streams."""
        self._pool.shutdown()
        for client in self._clients:
            client.close()

    def lost(self, port: int) -> set[str]:
        """The acknowledged posts that are missing in the author's list."""
        found, path = set(), f"/accounts/{self._author.handle}/posts?limit=100"
        with closing(Client(port, self._author.token)) as client:
            page = client.ask("GET", path)
            while True:
                found |= {item["post"]["id"] for item in page["items"]}
                if page["next"] is None:
                    return self.published - found
                page = client.ask("GET", f"{path}&cursor={page['next']}")

    def _client(self, port: int) -> Client:
        self._clients.append(Client(port, self._author.token))
        return self._clients[-1]

    def _repeated(self, kind: str, port: int, act: Callable[[], object]) -> None:
        self.counts[kind, port] = 0
        self._pool.submit(self._repeat, kind, port, act)

    def _repeat(self, kind: str, port: int, act: Callable[[], object]) -> None:
        while not self._over.is_set():
            try:
                act()
                self.counts[kind, port] += 1
            except Exception as error:  # noqa: BLE001  a thread that ended would look like a load that stalls
                if not self._over.is_set():
                    self.failed.append(f"{kind} {port}: {error!r}")

    def _publish(self, client: Client, pause: float) -> None:
        self._over.wait(pause)
        self.published.add(client.publish("A post"))

    def _use(self, user: Client) -> None:
        """Requests that write to all other stores and tables; undone if possible."""
        author = self._author.handle
        user.ask("PUT", f"/accounts/{author}/follow")
        post = user.ask("GET", "/feed?limit=1")["items"][0]["post"]["id"]
        user.ask("PUT", f"/posts/{post}/like")
        user.ask("POST", f"/posts/{post}/comments", {"body": "Good."})
        user.ask("DELETE", f"/posts/{post}/like")
        user.ask("POST", "/wallet/deposits", {"amount": PRICE}, Idempotency_Key=f"{uuid4()}")
        lines = {"lines": [{"product_id": self._product, "quantity": 1}]}
        user.ask("POST", "/orders", lines, Idempotency_Key=f"{uuid4()}")
        user.ask("GET", "/orders?limit=1")
        user.ask("GET", "/notifications")
        user.ask("DELETE", f"/accounts/{author}/follow")

    def _send_slowly(self, port: int) -> None:
        body = json.dumps({"title": "Slow", "body": "x"}).encode()
        head = (
            f"POST {BASE}/posts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self._author.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection((HOST, port), timeout=30) as connection:
            connection.sendall(head.encode() + body[:9])
            self._over.wait(IDLE)
            connection.sendall(body[9:])
            answer = answer_of(connection)
        assert answer.status == 201, answer
        self.published.add(answer.body["post"]["id"])

    def _follow(self, port: int) -> None:
        """Read one stream until it ends."""
        with closing(Reader(port, Client(port, self._author.token))) as reader:
            assert reader.status == 200
            with suppress(EOFError):
                while not self._over.is_set():
                    reader.block()
        self._over.wait(RETRY)
