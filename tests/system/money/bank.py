"""A bank over HTTP: customers who send money to each other and make payouts, and readers who add up all wallets.

A reader keeps the entries of every wallet and reads the new ones, wallet by wallet. Each wallet must be a chain of
running balances that is never below 0, and entries once read must never change. The wallets are read at different
times, so one leg of a transfer may be seen without the other, but only if the wallet of the other leg was read earlier.
Corrected for such legs, and including payouts, the total must be exact in every read.
"""

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from tests.system.live import Answer, Client, Live

LOST = (OSError, http.client.HTTPException)
OPENING = 1_000
# Amounts up to this are payouts; larger ones are transfers.
PAID_OUT = 20
PATIENCE = 60.0
PAUSE = threading.Event()


@dataclass(frozen=True)
class Leg:
    transfer: str
    kind: str
    other: str
    amount: int
    balance: int


@dataclass(frozen=True)
class SentTransfer:
    """An acknowledged transfer."""

    id: str
    sender: str
    receiver: str
    amount: int


@dataclass
class Bank:
    """`live` is the present server. Tokens and handles are by account id."""

    live: Live
    tokens: dict[str, str] = field(default_factory=dict)
    handles: dict[str, str] = field(default_factory=dict)
    sent: list[SentTransfer] = field(default_factory=list)
    paid_out: dict[str, int] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    wrong: list[Any] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def total(self) -> int:
        return OPENING * len(self.tokens)

    def open(self, customers: int) -> None:
        for _ in range(customers):
            client = self.live.person("customer")
            account = client.ask("GET", "/accounts/me")["account"]["id"]
            self.tokens[account], self.handles[account] = str(client.token), client.handle
            money = {"amount": {"amount": OPENING, "currency": "EUR"}}
            client.ask("POST", "/wallet/deposits", money, Idempotency_Key="opening")
            fee = {"amount": {"amount": 1, "currency": "EUR"}}
            self.paid_out[client.ask("POST", "/wallet/payouts", fee, Idempotency_Key="opening")["id"]] = 1

    def customer(self, own: str) -> None:
        """Send money until `stop` is set; repeat each request until its outcome is known."""
        chance, line = random.Random(own), CustomerConnection(self, own)  # noqa: S311 - amounts, not secrets
        others = [one for one in self.tokens if one != own]
        while not self.stop.is_set():
            other, amount = chance.choice(others), chance.randint(1, 200)
            if amount <= PAID_OUT:
                money = {"amount": {"amount": amount, "currency": "EUR"}}
                answer = line.resolved("POST", "/wallet/payouts", money, str(uuid4()))
                if answer.status == 201:
                    self.paid_out[answer.body["id"]] = amount
                elif answer.body["code"] != "insufficient_funds":
                    self.wrong.append(answer)
                continue
            body = {"to": self.handles[other], "amount": {"amount": amount, "currency": "EUR"}}
            answer = line.resolved("POST", "/wallet/transfers", body, str(uuid4()))
            if answer.status == 201:
                self.sent.append(SentTransfer(answer.body["id"], own, other, amount))
            elif answer.body["code"] != "insufficient_funds":
                self.wrong.append(answer)
        line.close()

    def reader(self) -> None:
        reader = Reader(self)
        while not self.stop.is_set():
            self.wrong += reader.read()
            self.seen["reads"] += 1
        reader.close()


class CustomerConnection:
    """A customer's connection to the present server."""

    def __init__(self, bank: Bank, own: str) -> None:
        self._bank = bank
        self._own = own
        self._server: Live | None = None
        self._client: Client | None = None

    def resolved(self, method: str, path: str, body: Any = None, key: str | None = None) -> Answer:
        """Repeat the request with the same key until an answer tells the outcome."""
        end, unknown = time.monotonic() + PATIENCE, False
        while time.monotonic() < end:
            try:
                answer = self._send(method, path, body, key)
            except LOST:
                self._bank.seen["no answer"] += 1
                unknown = True
            else:
                if answer.status != 503 and not in_flight(answer):
                    self._bank.seen["replayed"] += "idempotent-replayed" in answer.headers
                    self._bank.seen["resolved"] += unknown
                    return answer
                self._bank.seen[f"asked again after {answer.status}"] += 1
            PAUSE.wait(0.05)
        raise AssertionError(f"no outcome of {method} {path} within {PATIENCE} s")

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _send(self, method: str, path: str, body: Any, key: str | None) -> Answer:
        if self._client is None or self._server is not self._bank.live:
            self.close()
            self._server = self._bank.live
            self._client = Client(self._server.port, self._bank.tokens[self._own])
        return self._client.send(method, path, body, **({"Idempotency_Key": key} if key else {}))


class Reader:
    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self._lines = {own: CustomerConnection(bank, own) for own in bank.tokens}
        self.wallets: dict[str, list[Leg]] = {own: [] for own in bank.tokens}
        self._turn = 0
        self._last_turn: dict[str, int] = {}
        self._first_seen: dict[str, int] = {}

    def read(self) -> list[str]:
        """Read all wallets once, in random order. Returns the problems found."""
        order = random.sample(list(self._lines), len(self._lines))
        return [problem for own in order for problem in self._catch_up(own)] + self._unbalanced()

    @property
    def paid_out(self) -> int:
        return -sum(leg.amount for wallet in self.wallets.values() for leg in wallet if leg.kind == "payout")

    def close(self) -> None:
        for line in self._lines.values():
            line.close()

    def _catch_up(self, own: str) -> list[str]:
        """Read new entries. The first page is consistent with the balance at one moment; further pages are older."""
        known, fresh, cursor = self.wallets[own], list[tuple[int, Leg]](), ""
        self._turn += 1
        self._last_turn[own] = self._turn
        wrong = []
        while not fresh or fresh[-1][0] > max(1, len(known)):
            page = self._lines[own].resolved("GET", f"/wallet/entries?currency=EUR&limit=100{cursor}").body
            if page["balance"]["amount"] < 0:
                wrong.append(f"the balance of {own} is negative: {page['balance']}")
            fresh += [(e["sequence"], _leg(e)) for e in page["items"]]
            if page["next"] is None:
                break
            cursor = f"&cursor={page['next']}"
        for sequence, leg in reversed(fresh):
            if sequence <= len(known):
                wrong += [] if known[sequence - 1] == leg else [f"entry {sequence} of {own} has changed: {leg}"]
            else:
                wrong += _chain_errors(own, known, sequence, leg)
                known.append(leg)
                self._first_seen.setdefault(leg.transfer, self._turn)
        if (fresh[0][0] if fresh else 0) != len(known):
            wrong.append(f"{own} had {len(known)} entries, now {fresh[:1]}")
        return wrong

    def _unbalanced(self) -> list[str]:
        legs: dict[str, list[Leg]] = {}
        for wallet in self.wallets.values():
            for leg in wallet:
                if leg.kind == "transfer":
                    legs.setdefault(leg.transfer, []).append(leg)
        wrong = [f"{found}" for found in legs.values() if len(found) > 2 or (len(found) == 2 and _sum(found))]
        alone = [found[0] for found in legs.values() if len(found) == 1]
        owned = sum(wallet[-1].balance for wallet in self.wallets.values() if wallet) + self.paid_out
        if owned - _sum(alone) != self._bank.total:
            wrong.append(f"the total is {owned}, with one leg each of {alone}")
        missed = [leg for leg in alone if self._last_turn[leg.other] > self._first_seen[leg.transfer]]
        return wrong + [f"the other leg is missing, although its wallet was read later: {leg}" for leg in missed]


def in_flight(answer: Answer) -> bool:
    return answer.status == 409 and bool(answer.body["code"] == "idempotency_key_in_flight")


def start_all(jobs: list[Callable[[], None]], wrong: list[Any]) -> list[threading.Thread]:
    """Start a thread for each job; exceptions are added to `wrong`."""

    def noted(job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as error:  # noqa: BLE001 - the test reports it
            wrong.append(error)

    threads = [threading.Thread(target=noted, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    return threads


def _sum(legs: list[Leg]) -> int:
    return sum(leg.amount for leg in legs)


def _leg(entry: dict[str, Any]) -> Leg:
    return Leg(
        entry["transfer_id"],
        entry["kind"],
        entry["other"]["id"] if entry["other"] else "",
        entry["amount"]["amount"],
        entry["balance"]["amount"],
    )


def _chain_errors(own: str, known: list[Leg], sequence: int, leg: Leg) -> list[str]:
    before = known[-1].balance if known else 0
    if sequence != len(known) + 1 or leg.balance != before + leg.amount or leg.balance < 0:
        return [f"entry {sequence} of {own} after {len(known)} with {before}: {leg}"]
    return []
