"""Helpers for tests of advice: asking for it, and people who create every kind of data in a system."""

import contextlib
from collections.abc import Iterable

from msgspec.structs import replace

from app.container import Container
from app.doctor.advice.looking import look
from app.doctor.advice.rule import Advice, Rule, judged, rules
from app.doctor.advice.scrape import Series
from repositories.observer_port import Observed
from repositories.observers import Observers
from tests.apps import System


def looked(
    container: Container, series: Series | None = None, limits: dict[str, float] | None = None
) -> list[tuple[Observed, tuple[str, ...]]]:
    """Observe the engines. By default without metrics, since those of this process are shared by all its tests."""
    with contextlib.closing(Observers(container.urls)) as observers:
        return list(look(container, observers, series or Series(), [], limits))


def advised(
    container: Container,
    series: Series | None = None,
    by: Iterable[Rule] | None = None,
    limits: dict[str, float] | None = None,
) -> list[Advice]:
    chosen = list(rules() if by is None else by)
    return [one for seen, roles in looked(container, series, limits) for one in judged(seen, roles, chosen)]


def without_waiting(chosen: Iterable[Rule]) -> list[Rule]:
    """The rules, changed to report an unused index without the usual time of observation."""
    waits = ("watched_seconds", "transactions ")
    return [
        replace(rule, when=[bound for bound in rule.when if not bound.startswith(waits)])
        if rule.name == "index-unused"
        else rule
        for rule in chosen
    ]


def named(found: Iterable[Advice]) -> set[tuple[str, str]]:
    """The rule and the subject of each piece of advice."""
    return {(one.rule, one.about) for one in found}


def scraped(system: System) -> Series:
    series = Series()
    series.add(system.app.test_client().get("/metrics").get_data(as_text=True))
    return series


def create_every_kind(system: System) -> None:
    ada, bob = system.person().rich(), system.person()
    bob.put(f"/accounts/{ada.handle}/follow")
    post = ada.publish(tags=["one"])
    bob.put(f"/posts/{post}/like")
    bob.post(f"/posts/{post}/comments", {"body": "Well."})
    body = {"title": "Lamp", "category": "home", "price": {"amount": 100, "currency": "EUR"}}
    lamp = bob.post("/products", body)["product"]["id"]
    bob.put(f"/products/{lamp}/stock", {"on_hand": 10}, 200, etag="*")
    ada.pay("/orders", {"lines": [{"product_id": lamp, "quantity": 1}]})
    system.relay.drain()
    assert bob.feed() == [post]
    assert ada.get("/notifications")["unread_count"]
    system.sweeper.sweep()
