"""Measures the relay's other work while a broker or receiver is away, next to the same work while it is available.

Each state has a separate system, so that none sends events left over from another. Both alternate, and each is first
equally often. The median of the ratios per round is printed, which is robust against a few disturbed rounds, with a
95 % interval from resampling the rounds.
"""

import random
import statistics
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from app.worker.running import relay_of
from app.worker.sinks.running import sending
from bench.sinks import Cost, cost, measured, middle
from config import Settings
from tests.apps import Person, System, embedded, running
from tests.engines.brokers import Broker

AWAY = ("refusing", "frozen")
# The sink is tried once per round of a tenth of a second: five times as often as in operation.
ROUNDS, POSTS, SAMPLES = 120, 40, 2000
# A timeout of half a second, and hardly any pause for a receiver, so that it is retried continuously during the work.
TRIED: dict[str, Any] = {"sinks_timeout": 0.5, "webhooks_timeout": 0.5, "webhooks_wait_seconds": 0.01}
TOKEN, INSIDE = "a token for the operators of a bench", "127.0.0.0/8"


def main(rounds: int) -> None:
    with measured("critical") as (folder, found):
        for name, broker in found.items():
            for away in AWAY:
                compare(name, broker, folder, away, rounds)


def compare(name: str, broker: Broker, folder: Path, away: str, rounds: int) -> None:
    place = broker.place()
    broker.prepared(place).close()
    url = broker.url(place)
    nobody = f"{url.partition('://')[0]}://127.0.0.1:9/nowhere"
    states = {"there": url, away: nobody if away == "refusing" else url}
    costs: dict[str, list[Cost]] = {state: [] for state in states}
    with ExitStack() as stack:
        opened = {s: stack.enter_context(served(folder / f"{name}-{away}-{s}", to)) for s, to in states.items()}
        authors = {state: system.person() for state, system in opened.items()}
        for number in range(rounds + 1):
            for state in rotated(list(states), number):
                if state == "frozen":
                    broker.server.pause()
                found = handled(opened[state], authors[state])
                if state == "frozen":
                    broker.server.resume()
                # Discard round 0, in which one-time initialization happens.
                if number:
                    costs[state].append(found)
    for which, about in enumerate(Cost._fields):
        ratios = [a[which] / b[which] for a, b in zip(costs[away], costs["there"], strict=True)]
        low, high = interval(ratios)
        each = 1e6 * middle(costs[away], which) / POSTS
        middling = f"{statistics.median(ratios):.3f} ({low:.3f} to {high:.3f})"
        print(f"{name} {away}: {about} {middling}, {each:.0f} us an event", flush=True)


@contextmanager
def served(folder: Path, url: str) -> Iterator[System]:
    """A system with a sink, or with a receiver of webhooks if the URL is HTTP."""
    hooks = url.startswith("http")
    own: dict[str, Any] = {"webhooks_token": TOKEN, "webhooks_networks": INSIDE} if hooks else {"sinks": url}
    with running(Settings(**embedded(folder), **TRIED, **own)) as system:
        if hooks:
            system.container.webhooks.add(url, [])
        yield system


def rotated(states: list[str], number: int) -> list[str]:
    first = number % len(states)
    return states[first:] + states[:first]


def handled(system: System, author: Person) -> Cost:
    """Publish posts and measure their dispatch, while the sink's thread sends the logged events, or tries to."""
    for number in range(POSTS):
        author.publish(f"{number}")
    relational, stop = system.container.stores.relational, threading.Event()
    for one in relational.event_log.states():
        with relational.transaction() as tx:
            tx.event_log.switch(one.sink, on=True)
    with sending(system.container, stop):
        return cost(relay_of(system.container).drain)


def interval(ratios: Sequence[float]) -> tuple[float, float]:
    chance = random.Random(1)  # noqa: S311  reproducible on purpose
    found = sorted(statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(SAMPLES))
    return found[SAMPLES // 40], found[-SAMPLES // 40]


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else ROUNDS)
