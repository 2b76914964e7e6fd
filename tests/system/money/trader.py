"""A user who buys, sells and pays through two servers, and repeats each request with the same key, at either server,
until its outcome is known.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

from tests.system.live import Answer, Client, Live
from tests.system.money.bank import LOST, PATIENCE, PAUSE, in_flight

OPENING = 100_000
PRICE = 7


def euros(amount: int) -> dict[str, Any]:
    return {"amount": {"amount": amount, "currency": "EUR"}}


class AcknowledgedCommand(NamedTuple):
    """An acknowledged command. `id` is from the answer; `other` is a body that differs from the one sent."""

    path: str
    body: Any
    other: Any
    key: str
    id: str


class Trader:
    """`servers` are the running ones. `past` are answers about past moments or periods, by path."""

    def __init__(self, servers: list[Live], seed: int) -> None:
        self._servers = servers
        self._draw = random.Random(seed)  # noqa: S311 - no secret
        self._line: tuple[Live, Client] | None = None
        person = servers[0].person("trader")
        self.handle, self._token = person.handle, person.token
        self.done: list[AcknowledgedCommand] = []
        self.past: dict[str, Any] = {}
        self.seen: Counter[str] = Counter()
        self._do("/wallet/deposits", euros(OPENING))
        card = {"title": "Lamp", "category": "home", "price": euros(PRICE)["amount"]}
        self.product = str(person.ask("POST", "/products", card)["product"]["id"])
        person.ask("PUT", f"/products/{self.product}/stock", {"on_hand": 10**6}, If_Match="*")
        self._orders: list[str] = []

    def work(self, others: Sequence["Trader"], now: Callable[[], str], stop: threading.Event) -> None:
        """Trade until `stop` is set. `now` returns the database's time."""
        began = now()
        while not stop.is_set():
            buy, rest = [self._buy] * 3, [self._send, self._pay_in, self._pay_out, self._sell, self._sell, self._sell]
            self._draw.choice(buy + rest)(others)
            if self._draw.random() < 0.3:
                at = now()
                self._ask_of(f"/wallet/entries?currency=EUR&limit=1&at={at}")
                self._ask_of(f"/wallet/statement?currency=EUR&limit=100&from={began}&to={at}")
                began = at
        self.close()

    def asked_again(self) -> list[str]:
        """The paths of answers about the past that have changed."""
        return [path for path, then in self.past.items() if self.resolved("GET", path).body != then]

    def resolved(self, method: str, path: str, body: Any = None, key: str | None = None) -> Answer:
        end, unknown = time.monotonic() + PATIENCE, False
        while time.monotonic() < end:
            try:
                answer = self._client().send(method, path, body, **({"Idempotency_Key": key} if key else {}))
            except LOST:
                self._line, unknown = None, True
            else:
                if answer.status != 503 and not in_flight(answer):
                    self.seen["resolved"] += unknown
                    return answer
            PAUSE.wait(0.05)
        raise AssertionError(f"no outcome of {method} {path} within {PATIENCE} s")

    def close(self) -> None:
        if self._line is not None:
            self._line[1].close()
        self._line = None

    def _client(self) -> Client:
        if self._line is None or self._line[0] not in self._servers or self._draw.random() < 0.3:
            self.close()
            server = self._draw.choice(self._servers)
            self._line = (server, Client(server.port, self._token))
        return self._line[1]

    def _do(self, path: str, body: Any = None, other: Any = None) -> Answer:
        key = str(uuid4())
        answer = self.resolved("POST", path, body, key)
        self.seen[f"{path.rpartition('/')[2]} {answer.status}"] += 1
        if answer.status < 300:
            self.done.append(AcknowledgedCommand(path, body, other, key, answer.body["id"]))
        return answer

    def _ask_of(self, path: str) -> None:
        """Ask about the past, and keep the answer."""
        answer = self.resolved("GET", path.replace("+", "%2B"))
        assert answer.status == 200, (path, answer)
        self.past[path.replace("+", "%2B")] = answer.body

    def _send(self, others: Sequence["Trader"]) -> None:
        amount = self._draw.randint(1, 50)
        body = euros(amount) | {"to": self._draw.choice(others).handle}
        self._do("/wallet/transfers", body, body | euros(amount + 1))

    def _pay_in(self, _others: Sequence["Trader"]) -> None:
        self._do("/wallet/deposits", euros(10), euros(11))

    def _pay_out(self, _others: Sequence["Trader"]) -> None:
        self._do("/wallet/payouts", euros(10), euros(11))

    def _buy(self, others: Sequence["Trader"]) -> None:
        lines = [
            {"product_id": one.product, "quantity": self._draw.randint(1, 3)}
            for one in self._draw.sample(list(others), 2)
        ]
        answer = self._do("/orders", {"lines": lines}, {"lines": lines[:1]})
        if answer.status == 201 and self._draw.random() < 0.2:
            self._do(f"/orders/{answer.body['id']}/cancel")

    def _sell(self, _others: Sequence["Trader"]) -> None:
        """Refund, ship or refuse the own part of one of the newest orders, whatever its present state."""
        state = self._draw.choice(["", "&state=paid", "&state=partly_fulfilled", "&state=fulfilled"])
        listed = self.resolved("GET", f"/orders?role=seller&limit=20{state}").body["items"]
        if not listed:
            return
        order, what = (
            self._draw.choice(listed)["id"],
            self._draw.choice(["some", "all", "fulfil", "shipments", "refuse"]),
        )
        if what in {"some", "all"}:
            body: dict[str, Any] = {"reason": "A scratch.", "restock": what == "all"}
            body |= euros(1) if what == "some" else {}
            self._do(f"/orders/{order}/refunds", body, body | {"reason": "Another."})
        elif what == "refuse":
            self._do(f"/orders/{order}/refuse", {"reason": "Sold out."}, {"reason": "Another."})
        elif what == "fulfil":
            self._do(f"/orders/{order}/fulfil")
        else:
            self._do(f"/orders/{order}/shipments", {"reference": "DHL 1"}, {"reference": "DHL 2"})
