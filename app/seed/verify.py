"""Reads everything back and compares it with the plan.

Counts and balances are compared exactly, so the data must not have been used yet. Timelines are read whole, through
the services, but only for a sample of the accounts. The ledger and the stock are audited completely.
"""

from array import array
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import closing
from functools import cached_property, partial
from itertools import chain
from typing import TypeVar
from uuid import UUID

from app.container import Container
from app.seed.plan import Plan
from app.seed.work import Batch, patiently, side_by_side
from app.services.feeds.page_windows import Window
from app.services.feeds.timelines import TimelinePage
from app.services.pages.cards import Card
from repositories.documents import PostStore
from repositories.records.content import Comment, Post, PostRef
from repositories.records.graph import Edge

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
BATCH, PAGE, POSTS_PAGE, FEED_PAGE = 500, 1000, 500, 100
SAMPLE = 200


class Verifier:
    def __init__(self, container: Container, plan: Plan) -> None:
        self._container = container
        self._stores = container.stores
        self._plan = plan

    def differences(self, *, concurrency: int) -> Iterator[str]:
        """The differences, one line each."""
        plan = self._plan
        plan.prepare()
        accounts, posts = list(_batches(plan.sizes.accounts)), list(_batches(plan.sizes.posts))
        for check, batches in (
            (self._accounts, accounts),
            (self._counts, accounts),
            (self._follows, accounts),
            (self._products, list(_batches(plan.sizes.products))),
            (self._posts, posts),
            (self._comments, posts),
            (self._like_counts, posts),
            (self._likes, accounts),
            (self._timelines, self._sample()),
            (self._wallets, accounts),
            (self._deposits, accounts),
            (self._orders, list(_batches(plan.sizes.orders))),
            (self._payments, list(_batches(len(plan.trade.payments)))),
            (self._books, [range(1)]),
        ):
            yield from self._all(check, batches, concurrency)

    def _all(
        self, check: Callable[[Batch], Iterator[str]], batches: Iterable[Batch], concurrency: int
    ) -> Iterator[str]:
        def checked(batch: Batch) -> list[str]:
            return patiently(lambda: list(check(batch)))

        with closing(side_by_side(checked, batches, concurrency)) as results:
            for lines in results:
                yield from lines

    def _sample(self) -> list[Batch]:
        """All accounts of a small plan, else those with the most followers and an even sample of the others."""
        count = self._plan.sizes.accounts
        chosen = set(range(min(count, SAMPLE // 4))) | set(range(0, count, max(1, count // SAMPLE)))
        return [range(k, k + 1) for k in sorted(chosen)]

    def _accounts(self, batch: Batch) -> Iterator[str]:
        planned = {self._plan.account_ids[k]: self._plan.account(k) for k in batch}
        return _compared("account", planned, self._stores.relational.accounts.get(list(planned)))

    def _counts(self, batch: Batch) -> Iterator[str]:
        plan = self._plan
        ids = [plan.account_ids[k] for k in batch]
        graph, posts = self._stores.relational.graph.counts(ids), self._stores.documents.posts.counts(ids)
        found = {i: (graph[i].followers, graph[i].following, posts[i]) for i in ids}
        planned = {
            plan.account_ids[k]: (plan.follower_counts[k], len(plan.followees[k]), len(plan.posts_of[k])) for k in batch
        }
        return _compared("followers, following and posts of account", planned, found)

    def _follows(self, batch: Batch) -> Iterator[str]:
        for k in batch:
            account_id = self._plan.account_ids[k]
            filled = self._stores.relational.graph.followees(account_id)
            found = {e.account_id: (e.since, filled.get(e.account_id)) for e in self._following(account_id)}
            planned = {follow.followee: (follow.since, True) for follow in self._plan.follows(k)}
            yield from _compared(f"follow by {account_id} of", planned, found)

    def _following(self, account_id: UUID) -> Iterator[Edge]:
        graph = self._stores.relational.graph
        page = graph.following(account_id, before=None, limit=PAGE)
        while page:
            yield from page
            page = graph.following(account_id, before=page[-1], limit=PAGE)

    def _products(self, batch: Batch) -> Iterator[str]:
        planned = {self._plan.product_ids[k]: self._plan.product(k) for k in batch}
        yield from _compared("product", planned, self._stores.documents.products.get(list(planned)))
        sold = self._plan.trade.sold
        stock = {i: (self._plan.stock(k), 0, sold[i]) for k in batch for i in [self._plan.product_ids[k]]}
        levels = self._stores.relational.stock.levels(list(stock)).values()
        found = {level.product_id: (level.available, level.reserved, level.sold) for level in levels}
        yield from _compared("available, reserved and sold units of product", stock, found)

    def _wallets(self, batch: Batch) -> Iterator[str]:
        ledger, owners = self._stores.relational.ledger, [self._plan.account_ids[k] for k in batch]
        planned = {owner: self._plan.trade.balances[owner] for owner in owners}
        return _compared("wallet of", planned, {owner: ledger.wallet(owner) for owner in owners})

    def _deposits(self, batch: Batch) -> Iterator[str]:
        planned = {deposit.id: deposit for k in batch for deposit in self._plan.trade.deposits[k]}
        return _compared("deposit", planned, self._stores.relational.ledger.get(list(planned)))

    def _orders(self, batch: Batch) -> Iterator[str]:
        planned = {self._plan.trade.order_ids[k]: self._plan.trade.order(k) for k in batch}
        return _compared("order", planned, self._stores.relational.orders.get(list(planned)))

    def _payments(self, batch: Batch) -> Iterator[str]:
        planned = {paid.id: paid for paid in self._plan.trade.payments[batch.start : batch.stop]}
        return _compared("payment", planned, self._stores.relational.ledger.get(list(planned)))

    def _books(self, _batch: Batch) -> Iterator[str]:
        """Audit ledger and stock, including accounts outside the plan."""
        audit = self._stores.relational.audit
        for finding in chain(audit.ledger(), audit.stock()):
            yield f"{finding.about}: {finding.problem}"

    def _posts(self, batch: Batch) -> Iterator[str]:
        planned = {self._plan.refs[k].post_id: self._plan.post(k) for k in batch}
        there = _between(self._stores.documents.posts, min(planned), max(planned))
        return _compared("post", planned, {post.id: post for post in there if post.id in planned})

    def _comments(self, batch: Batch) -> Iterator[str]:
        planned = {self._plan.refs[k].post_id: self._plan.comment_counts[k] for k in batch}
        found = self._stores.documents.comments.counts(list(planned))
        yield from _compared("number of comments on post", planned, found)
        for k in (k for k in batch if self._plan.comment_counts[k]):
            post_id = self._plan.refs[k].post_id
            written = {comment.number: comment for comment in self._plan.comments(k)}
            there = {comment.number: comment for comment in self._comments_on(post_id)}
            yield from _compared(f"comment on post {post_id},", written, there)

    def _comments_on(self, post_id: UUID) -> Iterator[Comment]:
        comments = self._stores.documents.comments
        page = comments.page(post_id, after=None, limit=PAGE)
        while page:
            yield from page
            page = comments.page(post_id, after=page[-1].number, limit=PAGE)

    def _like_counts(self, batch: Batch) -> Iterator[str]:
        planned = {self._plan.refs[k].post_id: self._plan.like_counts[k] for k in batch}
        return _compared("likes of post", planned, self._stores.relational.likes.counts(list(planned)))

    def _likes(self, batch: Batch) -> Iterator[str]:
        for k in batch:
            account_id = self._plan.account_ids[k]
            planned = [self._plan.refs[post].post_id for post in self._liked[k]]
            liked = self._stores.relational.likes.liked(account_id, planned)
            yield from (f"like by {account_id} of {post_id}: missing" for post_id in planned if post_id not in liked)

    @cached_property
    def _liked(self) -> list["array[int]"]:
        """The posts that each account likes."""
        found = [array("I") for _ in range(self._plan.sizes.accounts)]
        for k in range(self._plan.sizes.posts):
            for fan in self._plan.fans(k):
                found[fan].append(k)
        return found

    def _timelines(self, batch: Batch) -> Iterator[str]:
        cards = self._container.pages.cards
        for k in batch:
            account_id = self._plan.account_ids[k]
            login = self._stores.relational.accounts.login_of(account_id)
            yield from _compared("e-mail of", {account_id: self._plan.email(k)}, {account_id: login and login.email})
            own = [self._plan.refs[post] for post in reversed(self._plan.posts_of[k])]
            yield from _paged(f"posts of {account_id}", own, partial(cards.timeline, account_id, viewer=None))
            home = self._plan.home(k)
            yield from _paged(f"home feed of {account_id}", home, partial(cards.home, account_id))


def _batches(count: int) -> Iterator[Batch]:
    return (range(start, min(start + BATCH, count)) for start in range(0, count, BATCH))


def _compared(what: str, planned: Mapping[K, object], found: Mapping[K, object]) -> Iterator[str]:
    for key, value in planned.items():
        if key not in found:
            yield f"{what} {key}: missing"
        elif found[key] != value:
            yield f"{what} {key}: {found[key]} instead of {value}"
    yield from (f"{what} {key}: not planned" for key in found.keys() - planned.keys())


def _paged(what: str, planned: list[PostRef], read: Callable[[Window], TimelinePage[Card]]) -> Iterator[str]:
    """Compare page by page. Yields at most one line, since after a difference the rest usually differs too."""
    page = read(Window(FEED_PAGE))
    for start in range(0, max(len(planned), 1), FEED_PAGE):
        wanted = [ref.post_id for ref in planned[start : start + FEED_PAGE]]
        shown = list(page.ids)
        if shown != wanted or (page.onward is None) != (start + FEED_PAGE >= len(planned)):
            yield f"{what}: differs between entries {start + 1} and {start + FEED_PAGE}"
            return
        if page.onward is not None:
            page = read(Window(FEED_PAGE, before=page.onward))


def _between(posts: PostStore, low: UUID, high: UUID) -> Iterator[Post]:
    """The posts from `low` to `high`."""
    before = UUID(int=high.int + 1)
    while page := posts.page(before=before, limit=POSTS_PAGE):
        yield from (post for post in page if post.id >= low)
        before = page[-1].id
        if before <= low:
            break
