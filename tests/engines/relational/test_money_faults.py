"""Transfers while PostgreSQL is killed: no acknowledged one is lost, none happens twice, and totals stay correct."""

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from repositories.errors import Contention, Insufficient, Unavailable
from repositories.records.money import Transfer
from repositories.relational import RelationalStore
from tests.contracts.money import balances, transfer, wallet
from tests.contracts.relational_store import NOW, new_database, opened
from tests.engines import Server
from tests.engines.kernel import wait_until

PEOPLE, CLIENTS, KILLS, OPENING = 8, 6, 3, 200


@pytest.fixture
def bank(server: Server) -> Iterator[RelationalStore]:
    with opened(new_database(server), timeout=timedelta(seconds=2), pool=CLIENTS + 1) as store:
        store.migrate()
        yield store


def persist(store: RelationalStore, one: Transfer) -> bool:
    """Retry like a client, with the same id until the outcome is known. Returns whether it was transferred."""
    while True:
        try:
            with store.transaction() as unit:
                unit.ledger.transfer(one)
        except (Unavailable, Contention):
            threading.Event().wait(0.01)
        except Insufficient:
            return False
        else:
            return True


@pytest.mark.proof
def test_kills_lose_and_duplicate_no_transfer(bank: RelationalStore, server: Server) -> None:
    people = [wallet(bank, OPENING) for _ in range(PEOPLE)]
    over, acknowledged = threading.Event(), list[Transfer]()

    def trade(seed: int) -> None:
        draws = random.Random(seed)  # noqa: S311  - a simulation
        while not over.is_set():
            debit, credit = draws.sample(people, 2)
            one = transfer(debit, credit, draws.randint(1, OPENING))
            if persist(bank, one):
                acknowledged.append(one)

    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(trade, seed) for seed in range(CLIENTS)]
        try:
            for turn in range(KILLS):
                wait_until(lambda turn=turn: len(acknowledged) > 60 * (turn + 1), 30)  # type: ignore[misc]  # default binds
                server.kill()
                server.restart()
        finally:
            over.set()
        for client in clients:
            client.result()
    check(bank, people, acknowledged)


def check(bank: RelationalStore, people: list[UUID], acknowledged: list[Transfer]) -> None:
    owned = [balances(bank, one)["EUR"][0] for one in people]
    assert sum(owned) == PEOPLE * OPENING
    assert min(owned) >= 0
    kept = bank.ledger.get([one.id for one in acknowledged])
    assert {key: replace(one, created_at=NOW) for key, one in kept.items()} == {one.id: one for one in acknowledged}
    legs = [entry.transfer_id for one in people for entry in bank.ledger.entries(one, "EUR", limit=9999)]
    assert len(legs) == 2 * len(acknowledged) + len(people), "two entries for each transfer, and the opening deposits"
    assert list(bank.audit.ledger()) == []
