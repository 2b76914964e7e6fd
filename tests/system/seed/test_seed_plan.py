"""The plan of a seed: deterministic, with realistically skewed distributions."""

import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from uuid import UUID

import pytest
from msgspec.structs import replace

from app.seed.draws import shares
from app.seed.plan import CELEBRITY, Plan
from app.seed.sizes import Sizes, sizes
from app.services.money.shares import sellers
from repositories.records.money import PROVIDER
from tests.apps import embedded, running
from tests.system.seed.loads import TINY, command, everything, settings


def test_the_same_seed_gives_the_same_data_and_another_gives_other_data() -> None:
    one, again, other = (everything(Plan(TINY, seed=n)) for n in (1, 1, 2))
    assert one == again
    for kind in ("accounts", "products", "posts"):
        assert not {thing.id for thing in one[kind]} & {thing.id for thing in other[kind]}
    assert not {a.handle for a in one["accounts"]} & {a.handle for a in other["accounts"]}


def test_another_process_gives_the_same_data() -> None:
    code = "from tests.system.seed.loads import *; from app.seed.plan import Plan; print(everything(Plan(TINY)))"
    found = {
        subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(found) == 1


def test_accounts_do_not_depend_on_the_number_of_posts() -> None:
    few, many = everything(Plan(TINY)), everything(Plan(replace(TINY, posts=400, comments=9, likes=9)))
    for kind in ("accounts", "follows", "products"):
        assert few[kind] == many[kind]


def test_counts_are_exact() -> None:
    found = everything(Plan(TINY))
    for name in Sizes.__struct_fields__:
        assert len(found[name]) == getattr(TINY, name)
    assert len({(f.follower, f.followee) for f in found["follows"]}) == TINY.follows
    assert len({(like.account_id, like.post_id) for like in found["likes"]}) == TINY.likes
    assert all(follow.follower != follow.followee for follow in found["follows"])


def test_everything_is_within_the_bounds_of_the_api() -> None:
    plan = Plan(sizes("medium"), seed=10**9)
    handles = {plan.handle(k) for k in range(plan.sizes.accounts)}
    assert len(handles) == plan.sizes.accounts
    assert all(re.fullmatch(r"[a-z]+_[a-z]+_[a-z]{4}_\d+", handle) and len(handle) <= 30 for handle in handles)
    assert re.fullmatch(r"[a-z]+_[a-z]+_12", Plan(sizes()).handle(12))
    for post in (plan.post(k) for k in range(2000)):
        assert len(post.title) <= 200
        assert len(post.body) <= 20_000
        assert len(post.tags) == len(set(post.tags)) <= 10


def test_planned_times_are_in_causal_order() -> None:
    plan = Plan(sizes())
    found = everything(plan)
    joined = {account.id: account.created_at for account in found["accounts"]}
    posted = {post.id: post.created_at for post in found["posts"]}
    ids = [post.id for post in found["posts"]]
    assert ids == sorted(ids)
    assert all(joined[post.author_id] < post.created_at < plan.until for post in found["posts"])
    assert all(max(joined[f.follower], joined[f.followee]) < f.since < plan.until for f in found["follows"])
    assert all(posted[like.post_id] <= like.at <= plan.until for like in found["likes"])
    for k in range(plan.sizes.posts):
        times = [comment.created_at for comment in plan.comments(k)]
        assert times == sorted(times)


def test_planned_orders_are_possible_ones() -> None:
    plan = Plan(sizes())
    trade, products = plan.trade, {product.id: product for product in map(plan.product, range(plan.sizes.products))}
    orders = [trade.order(k) for k in range(plan.sizes.orders)]
    assert {order.state for order in orders} == {"fulfilled", "paid", "refunded", "cancelled"}
    assert [order.id for order in orders] == sorted(order.id for order in orders)
    for order in orders:
        assert order.buyer_id not in sellers(order)
        assert order.moved_at is not None
        assert order.created_at < order.moved_at <= plan.until
        for line in order.lines:
            sold = products[line.product_id]
            assert (line.unit_price, order.total.currency) == (sold.price.amount, sold.price.currency)
            assert (line.seller_id, line.product_version) == (sold.seller_id, sold.version)
            assert sold.created_at < order.created_at


def test_money_follows_the_orders() -> None:
    trade = Plan(sizes()).trade
    flows: dict[UUID, list[int]] = {}
    for paid in trade.payments:
        assert paid.order_id is not None
        flow = flows.setdefault(paid.order_id, [0, 0])
        flow[paid.kind == "refund"] += paid.amount.amount
    for k, order_id in enumerate(trade.order_ids):
        order = trade.order(k)
        total = 0 if order.state == "cancelled" else order.total.amount
        assert flows.get(order_id, [0, 0]) == [total, order.refunded]
    assert [paid.created_at for paid in trade.payments] == sorted(paid.created_at for paid in trade.payments)
    people = [balance for owner, own in trade.balances.items() if owner != PROVIDER for balance in own]
    assert all(balance.posted > 0 for balance in people)
    assert all(any(balance.currency == "EUR" for balance in own) for own in trade.balances.values())


def test_popularity_is_realistically_skewed() -> None:
    plan = Plan(sizes(accounts=2000, posts=4000, follows=60_000))
    followers = plan.follower_counts
    assert followers[CELEBRITY] > 0.8 * plan.sizes.accounts
    assert followers[1] > 5 * sorted(followers)[1000]
    assert sum(sorted(followers)[-200:]) > 0.3 * plan.sizes.follows
    posts = sorted(len(of) for of in plan.posts_of)
    assert sum(posts[-400:]) > 0.4 * plan.sizes.posts
    likes = sorted(plan.like_counts)
    assert likes[-1] > 20 * max(1, likes[2000])


def test_posts_come_in_bursts() -> None:
    plan = Plan(sizes())
    hours: dict[datetime, int] = {}
    for k in range(plan.sizes.posts):
        hour = plan.posted(k).replace(minute=0, second=0, microsecond=0)
        hours[hour] = hours.get(hour, 0) + 1
    assert max(hours.values()) > 10 * plan.sizes.posts / (60 * 24)


@pytest.mark.parametrize(
    ("total", "weights", "most"), [(10, [5.0, 1.0, 1.0], 4), (0, [1.0], 0), (7, [1.0] * 3, 9), (6, [9.0, 0.1], 3)]
)
def test_shares_add_up(total: int, weights: list[float], most: int) -> None:
    found = shares(total, weights, most=most)
    assert sum(found) == total
    assert max(found) <= most


def test_impossible_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fit"):
        shares(5, [1.0], most=4)
    with running(settings(embedded(tmp_path))) as system:
        for options in (
            ["--accounts=1"],
            ["--accounts=3", "--follows=7"],
            ["--posts=0", "--comments=1"],
            ["--products=0", "--orders=1"],
        ):
            assert command(system.container, *options).exit_code == 2
        assert "future" in command(system.container, "--until=2100-01-01").output
