"""Ways to damage seeded data. Each returns the beginning of the line in which verification must report it."""

from uuid import uuid4

from msgspec.structs import replace

from app.container import Container
from app.events import PostDeleted, pack
from app.seed.plan import Plan
from repositories.records.content import Comment
from repositories.records.graph import Like
from repositories.records.money import Money, Transfer
from repositories.records.orders import Shipment
from tests.system.seed.loads import TINY


def delete_post(container: Container, plan: Plan) -> str:
    ref = plan.refs[77]
    now = container.kit.clock()
    event = pack(container.kit.ids(), PostDeleted(ref.post_id, ref.author_id), at=now)
    container.stores.documents.posts.delete(ref.post_id, event, if_version=1)
    return f"post {ref.post_id}: missing"


def count_a_like_more(container: Container, plan: Plan) -> str:
    k = next(k for k in range(TINY.posts) if plan.like_counts[k] < TINY.accounts)
    stranger = next(a for a in range(TINY.accounts) if a not in plan.fans(k))
    with container.stores.relational.transaction() as tx:
        tx.likes.like(Like(plan.account_ids[stranger], plan.refs[k].post_id, plan.until))
    return f"likes of post {plan.refs[k].post_id}: {plan.like_counts[k] + 1} instead of {plan.like_counts[k]}"


def take_a_like(container: Container, plan: Plan) -> str:
    k = next(k for k in range(TINY.posts) if plan.like_counts[k])
    like = plan.likes(k)[0]
    with container.stores.relational.transaction() as tx:
        tx.likes.unlike(like.account_id, like.post_id)
    return f"like by {like.account_id} of {like.post_id}: missing"


def unfollow(container: Container, plan: Plan) -> str:
    follow = plan.follows(3)[0]
    with container.stores.relational.transaction() as tx:
        tx.graph.unfollow(follow.follower, follow.followee)
    return f"follow by {follow.follower} of {follow.followee}: missing"


def rename(container: Container, plan: Plan) -> str:
    account = plan.account(5)
    with container.stores.relational.transaction() as tx:
        tx.accounts.replace(replace(account, display_name="Somebody", version=2), if_version=1)
    return f"account {account.id}: "


def sell(container: Container, plan: Plan) -> str:
    with container.stores.relational.transaction() as tx:
        tx.stock.put(plan.product_ids[2], 10_000)
    return f"available, reserved and sold units of product {plan.product_ids[2]}: (10000, 0, "


def comment(container: Container, plan: Plan) -> str:
    k = next(k for k in range(TINY.posts) if plan.comment_counts[k])
    number = plan.comment_counts[k] + 1
    extra = Comment(plan.refs[k].post_id, number, plan.account_ids[0], "Not planned.", plan.until)
    container.stores.documents.comments.load([extra])
    return f"comment on post {extra.post_id}, {number}: not planned"


def lose_a_delivery(container: Container, plan: Plan) -> str:
    owner = next(k for k in range(TINY.accounts) if plan.home_length(k) > 1)
    ref = plan.home(owner)[1]
    container.stores.feeds.retract(ref, [plan.account_ids[owner]], container.kit.clock())
    return f"home feed of {plan.account_ids[owner]}: differs"


def lose_an_own_post(container: Container, plan: Plan) -> str:
    ref = plan.refs[0]
    container.stores.feeds.remove_from_author(ref, container.kit.clock())
    return f"posts of {ref.author_id}: differs"


def spend(container: Container, plan: Plan) -> str:
    money = Transfer(uuid4(), "transfer", plan.account_ids[4], plan.account_ids[5], Money(1, "EUR"), plan.until)
    with container.stores.relational.transaction() as tx:
        tx.ledger.transfer(money)
    return f"wallet of {plan.account_ids[4]}: "


def fulfil(container: Container, plan: Plan) -> str:
    order = next(o for o in map(plan.trade.order, range(TINY.orders)) if o.state == "paid")
    first = order.lines[0]
    with container.stores.relational.transaction() as tx:
        tx.shipments.add(Shipment(uuid4(), order.id, first.seller_id, "", plan.until, ((1, first.quantity),)))
    return f"order {order.id}: "


def give_back(container: Container, plan: Plan) -> str:
    """Return the units without the money: only the stock differs from the plan."""
    order = next(o for o in map(plan.trade.order, range(TINY.orders)) if o.state == "fulfilled")
    with container.stores.relational.transaction() as tx:
        tx.stock.return_sold(order.id)
    return f"available, reserved and sold units of product {order.lines[0].product_id}: "


PLANTED = (
    delete_post,
    count_a_like_more,
    take_a_like,
    unfollow,
    rename,
    sell,
    comment,
    lose_a_delivery,
    lose_an_own_post,
    spend,
    fulfil,
    give_back,
)
