"""A tiny data set, and ways to load and compare it."""

from contextlib import nullcontext
from typing import Any

from click.testing import CliRunner, Result

from app.container import Container
from app.seed import seed
from app.seed.load import Loader
from app.seed.plan import Plan
from app.seed.sizes import Sizes
from app.seed.verify import Verifier
from app.seed.work import Outcome, Progress, Step
from config import Settings
from repositories.records.content import Comment, Post, PostRef
from repositories.records.graph import Follow, Like
from repositories.records.money import Transfer
from repositories.records.orders import Order
from repositories.records.people import Account
from repositories.records.products import Product

TINY = Sizes(accounts=30, follows=300, products=12, posts=150, comments=120, likes=400, orders=60)
KINDS = (
    "accounts",
    "follows",
    "products",
    "stock",
    "deposits",
    "orders",
    "payments",
    "posts",
    "comments",
    "likes",
    "author timelines",
    "home timelines",
)
OPTIONS = [f"--{name}={getattr(TINY, name)}" for name in Sizes.__struct_fields__]


def settings(urls: dict[str, Any]) -> Settings:
    """Settings whose limits on home timelines take effect even with this little data."""
    return Settings(**urls, backfill_posts=20, feeds_retention_days=3650.0)


class Interrupted(Progress):
    """Raises KeyboardInterrupt, like Ctrl-C, after some batches of one step."""

    def __init__(self, kind: str, batches: int) -> None:
        self._kind = kind
        self._left = batches

    def advance(self, step: Step, rows: int) -> None:
        if step.kind == self._kind:
            self._left -= 1
        if not self._left:
            raise KeyboardInterrupt


def load(container: Container, plan: Plan, progress: Progress | None = None) -> list[Outcome]:
    loader = Loader(container, plan, container.people.hasher.hash("secret"))
    return loader.load(batch=10, concurrency=3, progress=progress or Progress())


def differences(container: Container, plan: Plan) -> list[str]:
    return list(Verifier(container, plan).differences(concurrency=3))


def command(container: Container, *arguments: str) -> Result:
    return CliRunner().invoke(seed, arguments, obj=lambda: nullcontext(container))


Everything = dict[str, list[Any]]


def everything(plan: Plan) -> Everything:
    people, posts = range(plan.sizes.accounts), range(plan.sizes.posts)
    accounts: list[Account] = [plan.account(k) for k in people]
    follows: list[Follow] = [follow for k in people for follow in plan.follows(k)]
    products: list[Product] = [plan.product(k) for k in range(plan.sizes.products)]
    written: list[Post] = [plan.post(k) for k in posts]
    comments: list[Comment] = [comment for k in posts for comment in plan.comments(k)]
    likes: list[Like] = [like for k in posts for like in plan.likes(k)]
    homes: list[PostRef] = [ref for k in people for ref in plan.home(k)]
    deposits: list[Transfer] = [deposit for own in plan.trade.deposits for deposit in own]
    orders: list[Order] = [plan.trade.order(k) for k in range(plan.sizes.orders)]
    return {
        "accounts": accounts,
        "follows": follows,
        "products": products,
        "posts": written,
        "comments": comments,
        "likes": likes,
        "homes": homes,
        "deposits": deposits,
        "orders": orders,
        "payments": plan.trade.payments,
    }
