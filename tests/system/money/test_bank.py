"""Sixteen customers send each other money while the server and its database are killed."""

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import pytest

from tests.contracts.relational_store import new_database
from tests.engines import Engines
from tests.system.live import run
from tests.system.money.bank import PAUSE, Bank, Reader, start_all
from tests.system.money.conftest import Starter

pytestmark = [pytest.mark.live, pytest.mark.long]

log = logging.getLogger(__name__)
SECONDS = float(os.environ.get("QUARTET_BANK_SECONDS", "3"))
CUSTOMERS = 16
READERS = 2
EVERY = 2.0
# Seconds of work between two kills, however long the restart takes.
AT_LEAST = 1.0
# The minimum of kills; and the maximum, if none has left a request without an answer so far.
FEWEST, MOST = 2, 20


@pytest.fixture(params=["embedded", pytest.param("postgres", marks=[pytest.mark.engines, pytest.mark.breaking])])
def settings(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Settings of the server: every store embedded, or money in PostgreSQL and an inline relay."""
    if request.param == "embedded":
        yield {}
        return
    own_engines: Engines = request.getfixturevalue("own_engines")
    yield {"RELATIONAL_URL": new_database(own_engines.postgres()), "RELAY": "inline"}
    own_engines.heal()


def test_no_money_is_lost_or_made(
    settings: dict[str, str], start: Starter, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    assert run(tmp_path, "migrate", **settings).returncode == 0
    bank = Bank(start(**settings).answering())
    bank.open(CUSTOMERS)

    def crash_server() -> None:
        bank.live.kill()
        bank.live = start(**settings).answering()

    def crash_database() -> None:
        server = request.getfixturevalue("own_engines").postgres()
        server.kill()
        server.restart()

    deaths = [crash_server, crash_database] if settings else [crash_server]
    kills = _at_work(bank, deaths, SECONDS if settings else SECONDS * 2 / 3)
    log.info("%d kills, %d acknowledged, %s", kills, len(bank.sent), dict(bank.seen))
    _assert_kept(bank)
    assert bank.seen["resolved"] > 0
    bank.live.terminate()
    assert bank.live.ended(10) == 0
    for book in ("ledger", "provider"):
        told = run(tmp_path, "doctor", book, **settings)
        assert told.returncode == 0, told.stdout


def _at_work(bank: Bank, deaths: list[Callable[[], None]], seconds: float) -> int:
    """Let everybody work while the kills happen in turn. Returns their number."""
    jobs = [lambda own=own: bank.customer(own) for own in bank.tokens] + [bank.reader] * READERS
    threads, kills, begun = start_all(jobs, bank.wrong), 0, time.monotonic()
    pause = EVERY
    for death in cycle(deaths):
        PAUSE.wait(pause)
        now, enough = time.monotonic(), kills >= FEWEST and (bank.seen["resolved"] or kills >= MOST)
        if now >= begun + seconds and enough:
            break
        death()
        kills += 1
        pause = max(EVERY - (time.monotonic() - now), AT_LEAST)
    bank.stop.set()
    for thread in threads:
        thread.join()
    return kills


def _assert_kept(bank: Bank) -> None:
    reader = Reader(bank)
    assert bank.wrong + reader.read() == []
    reader.close()
    kept = Counter(
        (leg.transfer, own, leg.amount)
        for own, wallet in reader.wallets.items()
        for leg in wallet
        if leg.kind == "transfer"
    )
    told = Counter(leg for s in bank.sent for leg in ((s.id, s.sender, -s.amount), (s.id, s.receiver, s.amount)))
    assert set(told.values()) == {1}
    assert (told - kept, kept - told) == (Counter(), Counter())
    assert sum(wallet[-1].balance for wallet in reader.wallets.values()) == bank.total - reader.paid_out
    assert reader.paid_out == sum(bank.paid_out.values()) > 0
    assert bank.seen["reads"] > 1
