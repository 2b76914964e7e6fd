"""Writes a plan directly into the stores, without services and events, as if all events had been dispatched.

A second run leaves existing data as it is and adds what is missing, including data deleted since. The cache is not
read, and is emptied at the end.
"""

from uuid import UUID

from msgspec import Struct

from app.container import Container
from app.garbage_collection import staying
from app.seed.plan import Plan
from app.seed.work import Batch, Outcome, Progress, Run, Step
from repositories.records.content import Comment, Post, PostRef
from repositories.records.graph import Follow, Like
from repositories.records.money import Transfer
from repositories.records.orders import Order
from repositories.records.payments import Payment
from repositories.records.people import Account, Login
from repositories.records.products import Product

BATCH = 2000
PAGE = 1000


class Home(Struct, frozen=True):
    """The newest posts of an account's home feed, for its home timeline.

    If `is_cut`, the feed has older posts, and the low watermark is set to the oldest of `newest`.
    """

    owner: UUID
    newest: list[PostRef]
    is_cut: bool


class Loader:
    """Loads a plan. All accounts share the password whose hash is `password_hash`."""

    def __init__(self, container: Container, plan: Plan, password_hash: str) -> None:
        self._container = container
        self._stores = container.stores
        self._plan = plan
        self._hash = password_hash

    def load(self, *, batch: int, concurrency: int, progress: Progress) -> list[Outcome]:
        """Load the plan. Raises the error of a store that stays unavailable; what was loaded by then stays."""
        # Otherwise the garbage collector would traverse the plan again and again while rows are made.
        with staying():
            self._plan.prepare()
        done = []
        try:
            for step in self.steps():
                embedded = step.role in self._container.settings.embedded_roles
                threads = concurrency if step.parallel and not embedded else 1
                done.append(Run(step, batch=batch, threads=threads, progress=progress)())
        finally:
            self._container.pages.invalidation.everything()
        return done

    def steps(self) -> list[Step]:
        plan = self._plan
        sizes = plan.sizes
        return [
            Step("accounts", "relational", sizes.accounts, _one, self._accounts_there, self._accounts,
                 self._put_accounts),
            # Nearly every batch locks the counter of the celebrity, and many others, so more threads gain nothing.
            Step("follows", "relational", sizes.accounts, self._follow_rows, self._follows_there, self._follows,
                 self._put_follows, parallel=False, times=5),
            Step("products", "documents", sizes.products, _one, self._products_there, self._products,
                 self._stores.documents.products.load),
            Step("stock", "relational", sizes.products, _one, self._stock_there, self._stock, self._put_stock),
            # An account's entries form a hash chain, and every deposit extends the provider's, so batches run serially.
            Step("deposits", "relational", sizes.accounts, self._deposit_rows, self._deposits_there, self._deposits,
                 self._put_deposits, parallel=False),
            Step("orders", "relational", sizes.orders, _one, self._orders_there, self._orders, self._put_orders,
                 parallel=False),
            Step("payments", "relational", len(plan.trade.payments), _one, self._payments_there, self._payments,
                 self._put_payments, parallel=False),
            Step("posts", "documents", sizes.posts, _one, self._posts_there, self._posts,
                 self._stores.documents.posts.load, times=0.5),
            Step("comments", "documents", sizes.posts, plan.comment_counts.__getitem__, self._comments_there,
                 self._comments, self._stores.documents.comments.load, times=0.5),
            Step("likes", "relational", sizes.posts, plan.like_counts.__getitem__, self._likes_there, self._likes,
                 self._put_likes),
            Step("author timelines", "feeds", sizes.accounts, self._author_rows, self._authors_there, self._authors,
                 self._put_authors),
            Step("home timelines", "feeds", sizes.accounts, self._home_rows, self._homes_there, self._homes,
                 self._put_homes),
        ]  # fmt: skip

    def _accounts_there(self, batch: Batch) -> bool:
        ids = self._account_ids(batch)
        return len(self._stores.relational.accounts.get(ids)) == len(ids)

    def _accounts(self, batch: Batch) -> list[tuple[Account, Login]]:
        plan = self._plan
        return [(plan.account(k), Login(plan.account_ids[k], plan.email(k), self._hash)) for k in batch]

    def _put_accounts(self, rows: list[tuple[Account, Login]]) -> None:
        with self._stores.relational.transaction() as tx:
            tx.bulk.accounts(rows, seen_at=self._container.kit.clock())

    def _follow_rows(self, k: int) -> int:
        return len(self._plan.followees[k])

    def _follows_there(self, batch: Batch) -> bool:
        counts = self._stores.relational.graph.counts(self._account_ids(batch))
        return all(counts[self._plan.account_ids[k]].following >= self._follow_rows(k) for k in batch)

    def _follows(self, batch: Batch) -> list[Follow]:
        return [follow for k in batch for follow in self._plan.follows(k)]

    def _put_follows(self, rows: list[Follow]) -> None:
        with self._stores.relational.transaction() as tx:
            tx.bulk.follows(rows)

    def _products_there(self, batch: Batch) -> bool:
        ids = self._plan.product_ids[batch.start : batch.stop]
        return len(self._stores.documents.products.get(ids)) == len(ids)

    def _products(self, batch: Batch) -> list[Product]:
        return [self._plan.product(k) for k in batch]

    def _stock(self, batch: Batch) -> dict[UUID, int]:
        return {self._plan.product_ids[k]: self._plan.stock(k) for k in batch}

    def _stock_there(self, batch: Batch) -> bool:
        planned = self._stock(batch)
        return self._stores.relational.stock.available(list(planned)) == planned

    def _put_stock(self, units: dict[UUID, int]) -> None:
        with self._stores.relational.transaction() as tx:
            tx.bulk.stock(units)

    def _deposit_rows(self, k: int) -> int:
        return len(self._plan.trade.deposits[k])

    def _deposits(self, batch: Batch) -> list[Transfer]:
        return [deposit for k in batch for deposit in self._plan.trade.deposits[k]]

    def _deposits_there(self, batch: Batch) -> bool:
        return self._transferred(self._deposits(batch))

    def _put_deposits(self, deposits: list[Transfer]) -> None:
        with self._stores.relational.transaction() as tx:
            tx.bulk.transfers(deposits)
            # The sandbox provider has a payment for each deposit, as if it had been called.
            tx.sandbox.add([Payment(d.id, "deposit", d.amount, "approved", d.created_at) for d in deposits])

    def _orders_there(self, batch: Batch) -> bool:
        ids = self._plan.trade.order_ids[batch.start : batch.stop]
        return len(self._stores.relational.orders.get(ids)) == len(ids)

    def _orders(self, batch: Batch) -> list[Order]:
        return [self._plan.trade.order(k) for k in batch]

    def _put_orders(self, orders: list[Order]) -> None:
        with self._stores.relational.transaction() as tx:
            tx.bulk.orders(orders)

    def _payments(self, batch: Batch) -> list[Transfer]:
        return self._plan.trade.payments[batch.start : batch.stop]

    def _payments_there(self, batch: Batch) -> bool:
        return self._transferred(self._payments(batch))

    def _put_payments(self, payments: list[Transfer]) -> None:
        with self._stores.relational.transaction() as tx:
            tx.bulk.transfers(payments)

    def _transferred(self, transfers: list[Transfer]) -> bool:
        ids = [transfer.id for transfer in transfers]
        return len(self._stores.relational.ledger.get(ids)) == len(ids)

    def _posts_there(self, batch: Batch) -> bool:
        ids = self._post_ids(batch)
        return len(self._stores.documents.posts.authors(ids)) == len(ids)

    def _posts(self, batch: Batch) -> list[Post]:
        return [self._plan.post(k) for k in batch]

    def _comments_there(self, batch: Batch) -> bool:
        counts = self._stores.documents.comments.counts(self._post_ids(batch))
        return all(counts[self._plan.refs[k].post_id] >= self._plan.comment_counts[k] for k in batch)

    def _comments(self, batch: Batch) -> list[Comment]:
        return [comment for k in batch for comment in self._plan.comments(k)]

    def _likes_there(self, batch: Batch) -> bool:
        counts = self._stores.relational.likes.counts(self._post_ids(batch))
        return all(counts[self._plan.refs[k].post_id] >= self._plan.like_counts[k] for k in batch)

    def _likes(self, batch: Batch) -> list[Like]:
        return [like for k in batch for like in self._plan.likes(k)]

    def _put_likes(self, rows: list[Like]) -> None:
        with self._stores.relational.transaction() as tx:
            tx.bulk.likes(rows)

    def _author_rows(self, k: int) -> int:
        return len(self._plan.posts_of[k])

    def _authors_there(self, batch: Batch) -> bool:
        return all(self._author_there(k) for k in batch)

    def _author_there(self, k: int) -> bool:
        missing = {self._plan.refs[post].post_id for post in self._plan.posts_of[k]}
        page = self._stores.feeds.author_page(self._plan.account_ids[k], limit=PAGE)
        while page:
            missing -= {ref.post_id for ref in page}
            page = self._stores.feeds.author_page(self._plan.account_ids[k], before=page[-1].post_id, limit=PAGE)
        return not missing

    def _authors(self, batch: Batch) -> list[PostRef]:
        return [self._plan.refs[post] for k in batch for post in self._plan.posts_of[k]]

    def _put_authors(self, refs: list[PostRef]) -> None:
        self._stores.feeds.load(refs, ())

    def _most(self) -> int:
        return self._container.settings.backfill_posts

    def _home_rows(self, k: int) -> int:
        return min(self._most(), self._plan.home_length(k))

    def _homes_there(self, batch: Batch) -> bool:
        return all(self._home_there(k) for k in batch)

    def _home_there(self, k: int) -> bool:
        planned = {ref.post_id for ref in self._plan.home(k, self._most())}
        page = self._stores.feeds.home_page(self._plan.account_ids[k], limit=len(planned))
        return {ref.post_id for ref in page} == planned

    def _homes(self, batch: Batch) -> list[Home]:
        plan, most = self._plan, self._most()
        return [Home(plan.account_ids[k], plan.home(k, most), plan.home_length(k) > most) for k in batch]

    def _put_homes(self, homes: list[Home]) -> None:
        """Write the low watermarks first: if the load fails in between, more is pulled, and no post is missing."""
        cut = [home for home in homes if home.is_cut]
        if cut:
            with self._stores.relational.transaction() as tx:
                for home in cut:
                    tx.feed_activity.raise_low_watermark(home.owner, home.newest[-1].post_id)
        self._stores.feeds.load((), ((home.owner, ref) for home in homes for ref in home.newest))

    def _account_ids(self, batch: Batch) -> list[UUID]:
        return self._plan.account_ids[batch.start : batch.stop]

    def _post_ids(self, batch: Batch) -> list[UUID]:
        return [self._plan.refs[k].post_id for k in batch]


def _one(_k: int) -> int:
    return 1
