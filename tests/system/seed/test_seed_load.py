"""The loaded data equals the plan, whatever interrupts the load."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace
from pymongo import MongoClient

from app.container import Container
from app.seed.plan import CELEBRITY, UNTIL, Plan
from app.seed.sizes import Sizes
from repositories.sqlite.file import path_of
from tests.apps import embedded, running
from tests.system.crowd import account_stats
from tests.system.seed.loads import KINDS, TINY, Interrupted, differences, load, settings

pytestmark = pytest.mark.long


def test_a_plan_with_every_follow_and_like_is_loaded(container: Container, number: int) -> None:
    full = Plan(Sizes(accounts=4, follows=12, products=0, posts=3, comments=0, likes=12, orders=0), seed=number)
    load(container, full)
    assert differences(container, full) == []


def test_a_plan_of_accounts_alone_is_loaded(container: Container, number: int) -> None:
    bare = Plan(Sizes(accounts=2, follows=0, products=0, posts=0, comments=0, likes=0, orders=0), seed=number)
    load(container, bare)
    assert differences(container, bare) == []


def test_the_loaded_data_equals_the_plan(container: Container, plan: Plan) -> None:
    outcomes = load(container, plan)
    assert tuple(outcome.kind for outcome in outcomes) == KINDS
    assert all(outcome.rows == outcome.written > 0 for outcome in outcomes)
    assert differences(container, plan) == []


def test_running_again_writes_nothing(container: Container, plan: Plan) -> None:
    load(container, plan)
    assert [outcome.kind for outcome in load(container, plan) if outcome.written] == []
    assert differences(container, plan) == []


# One step for each store; the other steps are tested as proofs.
SHORT = {"accounts", "orders", "posts", "home timelines"}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in SHORT else pytest.mark.proof) for kind in KINDS]
)
@pytest.mark.proof(on="engines")
def test_an_interrupted_load_goes_on(container: Container, plan: Plan, kind: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        load(container, plan, Interrupted(kind, batches=2))
    assert differences(container, plan) != []
    outcomes = {outcome.kind: outcome for outcome in load(container, plan)}
    before = KINDS[: KINDS.index(kind)]
    assert not any(outcomes[name].written for name in before)
    assert outcomes[kind].written < outcomes[kind].rows
    assert differences(container, plan) == []


def test_a_partly_loaded_batch_is_completed(container: Container, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    store = container.stores.feeds
    whole = store.load

    def half(authors: Any, homes: Any) -> None:
        authors, homes = list(authors), list(homes)
        whole(authors, homes[: len(homes) // 2])
        if homes:
            raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(store, "load", half)
        with pytest.raises(RuntimeError, match="power cut"):
            load(container, plan)
    load(container, plan)
    assert differences(container, plan) == []


# SQLite's own counters, and the cache, whose values have random generations.
NOT_LOADED = ("sqlite_sequence", "hot_")


def test_an_interrupted_load_leaves_the_same_files_as_an_uninterrupted_one(tmp_path: Path) -> None:
    found = set()
    for stops in ((), KINDS):
        folder = tmp_path / f"stops-{len(stops)}"
        with running(settings(embedded(folder)), lambda: UNTIL) as system:
            for kind in stops:
                with pytest.raises(KeyboardInterrupt):
                    load(system.container, Plan(TINY), Interrupted(kind, batches=1))
            load(system.container, Plan(TINY))
        with closing(sqlite3.connect(folder / "quartet.db")) as file:
            found.add(tuple(sorted(line for line in file.iterdump() if not any(name in line for name in NOT_LOADED))))
    assert len(found) == 1


@pytest.mark.proof(on="engines")
def test_two_data_sets_stand_side_by_side(container: Container) -> None:
    plans = [Plan(replace(TINY, accounts=accounts), seed=seed) for accounts, seed in ((30, 1), (31, 1), (30, 2))]
    for plan in plans:
        load(container, plan)
    assert [differences(container, plan) for plan in plans] == [[], [], []]


def test_counts_cached_during_a_load_are_dropped(container: Container, plan: Plan) -> None:
    with pytest.raises(KeyboardInterrupt):
        load(container, plan, Interrupted("accounts", batches=3))
    celebrity = plan.account_ids[CELEBRITY]
    assert account_stats(container, [celebrity])[celebrity].followers == 0
    load(container, plan)
    assert account_stats(container, [celebrity])[celebrity].followers == plan.follower_counts[CELEBRITY]


@pytest.mark.proof(on="engines")
def test_products_deleted_behind_a_warm_cache_are_loaded_again(container: Container, plan: Plan) -> None:
    load(container, plan)
    lost, cards = plan.product_ids[2:5], container.pages.cards
    assert len(cards.products(plan.product_ids)) == len(plan.product_ids)
    delete_behind_the_port(container.settings.documents_url, lost)
    assert len(cards.products(lost)) == 3, "the deleted products are still cached"
    written = {outcome.kind: outcome.written for outcome in load(container, plan) if outcome.written}
    assert written.keys() == {"products"}
    assert differences(container, plan) == []
    assert len(cards.products(lost)) == 3


def delete_behind_the_port(url: str, products: Sequence[UUID]) -> None:
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(path_of(url), isolation_level=None)) as file:
            file.executemany("DELETE FROM documents_products WHERE id = ?", [(str(product),) for product in products])
        return
    with MongoClient[dict[str, Any]](url, uuidRepresentation="standard") as client:
        client.get_default_database()["products"].delete_many({"_id": {"$in": list(products)}})
