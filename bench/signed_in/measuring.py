"""Measures one route in rounds, each of which measures every way once."""

import os
import re
import time
from collections.abc import Sequence

import click
from msgspec import Struct

from app.telemetry.background import FRESH_SECONDS
from bench.signed_in.asking import PATIENCE, Load, Request, each, full, publish, text
from bench.signed_in.figures import Figure, Figures
from bench.signed_in.processor import Seconds, since
from bench.signed_in.routes import Route
from bench.signed_in.world import World
from tests.engines.kernel import wait_until

# Long enough for Cassandra's JIT compiler to compile hot code.
WARM_SECONDS = 4.0
# The states of feed activity that a way may put the readers in.
STATES = ("dormant", "waking")
# A measurement with fewer answers is repeated with four times the duration.
LEAST_ANSWERS = 16
UNSENT = re.compile(r"^quartet_outbox_unsent\S* [1-9]", re.MULTILINE)


class Effort(Struct, frozen=True):
    rounds: int
    seconds: float


def measured(world: World, route: Route, effort: Effort) -> Figures:
    """Measure a route. Each round starts with a different way. Ways that cannot be served here are left out."""
    requests = {
        way: found
        for way, builder in route.ways.items()
        if (who := way.partition(":")[0]) in world.served and (found := builder(world, who))
    }
    figures = Figures(route)
    for way, some in requests.items():
        _warm(world, route, way, some)
    idle = world.groups.idle(world.served)
    ways = list(requests)
    for number in range(effort.rounds):
        first = number % len(ways)
        for way in ways[first:] + ways[:first]:
            figures.add(way, _one(world, route, way, requests[way], effort.seconds, idle[way.partition(":")[0]]))
        click.echo(f"  {route.name}, round {number + 1}: {figures.latest()}; load {os.getloadavg()[0]:.1f}")
    return figures


def _warm(world: World, route: Route, way: str, requests: Sequence[Request]) -> None:
    """Warm up like the measurement, but without publishing the news, which takes long."""
    until = time.monotonic() + WARM_SECONDS
    while True:
        _begin(world, way, news=False)
        _asked(world, route, way, requests, WARM_SECONDS)
        if way.endswith(STATES):
            world.put(way.partition(":")[0], "awake")
        if not route.once or time.monotonic() > until:
            return


def _begin(world: World, way: str, *, news: bool = True) -> None:
    who, _, which = way.partition(":")
    if which == "forgotten":
        world.forget(who)
    elif which in STATES:
        world.put(who, which)
    elif which == "news" and news:
        everybody_posts(world, who)


def _one(world: World, route: Route, way: str, requests: Sequence[Request], seconds: float, idle: Seconds) -> Figure:
    who, _, which = way.partition(":")
    _begin(world, way)
    began = time.monotonic()
    load = Load(0, 0.0, 0.0, 0.0)
    while load.answers < min(LEAST_ANSWERS, len(requests)):
        before = world.groups.spent(who)
        load = _asked(world, route, way, requests, seconds)
        seconds *= 4
    took = load.seconds
    if which == "dormant":
        # The relay's work to wake the readers is part of the cost of their page.
        assert wait_until(lambda: world.are_awake(who), PATIENCE), "the relay does not fill"
        took = time.monotonic() - began
    spent = since(before, world.groups.spent(who))
    if which in STATES:
        world.put(who, "awake")
    busy = {name: max(0.0, spent[name] - idle[name] * took) / load.answers * 1000 for name in spent}
    return Figure(load.answers / load.seconds, load.p50, load.p99, busy)


def everybody_posts(world: World, who: str) -> None:
    """Publish a post by each reader, and wait until the relay has delivered all."""
    address = world.served[who].address
    for number in range(world.town.plan.readers):
        publish(address, world.town.token(number))
    # Servers refresh the backlog in their metrics only every `FRESH_SECONDS`.
    time.sleep(FRESH_SECONDS + 1)
    assert wait_until(lambda: UNSENT.search(text(f"{address}/metrics")) is None, PATIENCE), "the relay does not deliver"


def _asked(world: World, route: Route, way: str, requests: Sequence[Request], seconds: float) -> Load:
    address = world.served[way.partition(":")[0]].address
    return each(address, requests) if route.once else full(address, requests, seconds, world.folder)
