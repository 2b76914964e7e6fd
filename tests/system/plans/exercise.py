"""Runs everything that the application asks of its stores once."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

from app.doctor import Drift
from app.doctor.provider import BEGINNING
from app.doctor.rebuild import Rebuild
from app.seed.load import Loader
from app.seed.plan import Plan
from app.seed.work import Progress, Run
from app.services.money.reconciliation import Reconciliation
from repositories.records.chain_heads import Head
from tests.apps import PASSWORD, Person
from tests.http.drives import DRIVES
from tests.http.test_budgets import send
from tests.http.world import World
from tests.system.plans.direct import call_remaining_methods
from tests.system.seed.loads import TINY

FOUND = 5


def everything(world: World, plan: Plan) -> None:
    routes(world)
    lists(world, plan)
    background(world)
    _buyer, _seller, order = world.order(paid=True)
    call_remaining_methods(world.system.container, plan, UUID(order))
    load(world)


def routes(world: World) -> None:
    """Call each route as the budget tests do, with its own people and things besides the seeded ones."""
    for route, prepare in DRIVES.items():
        send(route[0], prepare(world, FOUND))
    world.drained()


def signed_in(world: World, handle: str) -> Person:
    token = world.system.anybody().post("/sessions", {"login": handle, "password": PASSWORD})["token"]
    who = Person(world.system.app.test_client(), token, {})
    who.account = who.get("/accounts/me")["account"]
    return who


def lists(world: World, plan: Plan) -> None:
    """First and further pages of the accounts with the most entries."""
    ada, bob = (signed_in(world, plan.handle(k)) for k in (0, plan.sizes.accounts // 2))
    busiest = plan.handle(max(range(plan.sizes.accounts), key=lambda k: len(plan.posts_of[k])))
    tag = ada.get("/tags")["items"][0]["tag"]
    categories = ada.get("/products", facets="true")["facets"]["category"]
    pages: list[tuple[str, dict[str, Any]]] = [
        *((f"/accounts/{ada.handle}/{what}", {}) for what in ("posts", "followers", "following")),
        ("/accounts/me/blocks", {}),
        (f"/accounts/{busiest}/posts", {}),
        ("/posts", {}),
        ("/posts", {"tag": tag}),
        ("/posts", {"author": busiest}),
        ("/posts", {"author": busiest, "tag": tag}),
        ("/tags", {}),
        ("/feed", {}),
        ("/notifications", {}),
        ("/products", {"category": categories[0]["value"]}),
        ("/products", {"price_min": 100, "price_max": 5000}),
        ("/wallet/entries", {"currency": "EUR"}),
        ("/orders", {}),
        ("/orders", {"role": "seller"}),
        *(("/orders", query) for query in choices(ada)),
        ("/sessions", {}),
    ]
    for who in (ada, bob):
        for path, query in pages:
            onward = who.get(path, limit=20, **query)["next"]
            if onward:
                who.get(path, limit=20, **query, cursor=onward)


def choices(who: Person) -> Iterator[dict[str, Any]]:
    """Filters of a person's orders, as a buyer and as a seller."""
    for role in ("buyer", "seller"):
        found = who.get("/orders", role=role, limit=1)["items"]
        product = {"product_id": found[0]["lines"][0]["product_id"]} if found else {}
        yield from ({"role": role} | one for one in ({"state": "fulfilled"}, {"currency": "EUR"}, product))
        if role == "buyer" and found:
            yield {"seller_id": found[0]["lines"][0]["seller_id"]}


def background(world: World) -> None:
    """The sweeper, with work that is due now and work that expires; then the doctor. The relay ran with the routes."""
    system, container = world.system, world.system.container
    readers = world.people(3)
    post = readers[0].publish()
    for reader in readers[1:]:
        reader.put(f"/accounts/{readers[0].handle}/follow")
        reader.put(f"/posts/{post}/like")
        reader.post(f"/posts/{post}/comments", {"body": "Well said."})
    world.drained()
    world.order()
    world.order(paid=True)
    world.order(paid=True, others=2)
    container.content.views.send()
    for ahead in (timedelta(), timedelta(hours=1), timedelta(days=60)):
        world.clock.ahead += ahead
        system.sweeper.sweep()
        world.drained()
    one = UUID(readers[0].account["id"])
    Rebuild(container, system.relay.round, wait=True).one(one)
    Drift(container, lambda _line: None, repair=True).one(one)
    assert container.money.payments.provider.find(one) is None
    work = Reconciliation(container.stores.relational, container.money.payments.provider, patience=0)
    assert list(work.differences(BEGINNING, container.stores.relational.now())) == []
    audit = container.stores.relational.audit
    assert sum(1 for _ in audit.ledger()) >= 0
    assert sum(1 for _ in audit.stock()) >= 0
    heads = [one for one in audit.advance(()) if isinstance(one, Head)]
    assert sum(1 for _ in audit.advance(heads[FOUND:])) >= len(heads)
    noted = container.money.anchors.note_heads()
    assert sum(1 for _ in audit.advance(heads, (), noted)) >= len(heads)


def load(world: World) -> None:
    """Load a small seed besides the medium one."""
    container = world.system.container
    loader = Loader(container, Plan(TINY, seed=77), container.people.hasher.hash(PASSWORD))
    for _again in range(2):
        for step in loader.steps():
            Run(step, batch=50, threads=1, progress=Progress())()
