"""Composition root: settings in, stores and services out. The server, the relay and the CLI all build this.

Nothing connects here; adapters connect in the process and thread that first use them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from app.clock import Clock, utc_now
from app.ids import Ids
from app.services.commands.idempotency import Once
from app.services.commands.retrying import Retry
from app.services.content.comments import Comments
from app.services.content.posts import Posts
from app.services.content.products import Products
from app.services.content.views import Views
from app.services.feeds.delivery_budget import DeliveryBudget
from app.services.feeds.fanouts import FanoutLimits, Fanouts
from app.services.feeds.feed_activity import Readers
from app.services.feeds.pulling import Pulling
from app.services.feeds.timelines import Timelines
from app.services.live.announcer import Announcer
from app.services.live.hub import Live, LiveLimits
from app.services.money.orders import Orders
from app.services.money.payments import PaymentProvider, SandboxProvider
from app.services.money.settlement import Checkout
from app.services.money.wallets import Wallets
from app.services.notifications.inbox import Notifications
from app.services.notifications.writing import Notices
from app.services.pages.cards import Cards
from app.services.pages.counters import Counters
from app.services.pages.first_pages import Firsts
from app.services.pages.fragments import post_part, product_part
from app.services.pages.invalidation import Changes
from app.services.pages.profiles import Profiles
from app.services.pages.whole_pages import FRESH_SECONDS, HotPages
from app.services.people.accounts import Accounts
from app.services.people.graph import Graph
from app.services.people.passwords import Argon2Hasher, Hasher
from app.services.people.sessions import Sessions
from app.services.people.throttle import Throttle
from config import Settings, SettingsError
from repositories import documents, feeds, hot, relational
from repositories.feeds import Feeds
from repositories.hot import Cache, Limits, Rate, Streams, ViewCounts
from repositories.hot import Sessions as SessionStore
from repositories.readthrough import CachedDocuments, Limit, ReadThrough, StockWatch, read_through, with_cache
from repositories.relational import Relational
from repositories.store import Store

VIEWERS = 2  # who sends views: one thread of each process, and the sweeper


@dataclass(frozen=True)
class Stores:
    """The four roles; the hot one is two stores, and `streams` lie beside the cache.

    `documents` reads posts and products through the cache; `through` is this process's one way to it.
    """

    relational: Relational
    documents: CachedDocuments
    feeds: Feeds
    sessions: SessionStore
    cache: Cache
    streams: Streams
    limits: Limits
    views: ViewCounts
    through: ReadThrough

    def by_role(self) -> dict[str, Store]:
        return {
            "relational": self.relational,
            "documents": self.documents,
            "feeds": self.feeds,
            "sessions": self.sessions,
            "cache": self.cache,
        }

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        """Bring every store up to date. Returns one line per step."""
        return [line for store in self._all() for line in store.migrate(dry_run=dry_run)]

    def close(self) -> None:
        for store in self._all():
            store.close()

    def _all(self) -> list[Store]:
        return [*self.by_role().values(), self.streams, self.limits, self.views]


@dataclass(frozen=True)
class Container:
    settings: Settings
    stores: Stores
    clock: Clock
    ids: Ids
    hasher: Hasher
    accounts: Accounts
    sessions: Sessions
    graph: Graph
    posts: Posts
    comments: Comments
    products: Products
    timelines: Timelines
    readers: Readers
    fanouts: Fanouts
    pulling: Pulling
    counters: Counters
    profiles: Profiles
    firsts: Firsts
    changes: Changes
    cards: Cards
    pages: HotPages
    notices: Notices
    notifications: Notifications
    retry: Retry
    once: Once
    wallets: Wallets
    orders: Orders
    checkout: Checkout
    live: Live
    throttle: Throttle
    views: Views

    def close(self) -> None:
        self.live.close()
        self.views.close()
        self.stores.close()


def open_stores(settings: Settings) -> Stores:
    pool = settings.threads
    cache = hot.guarded(hot.open_cache(settings.cache_url, timeout=settings.seconds("cache"), pool=pool))
    through = read_through(cache, _limit(settings))
    truth = documents.open_store(settings.documents_url, timeout=settings.seconds("documents"), pool=pool)
    return Stores(
        relational.open_store(settings.relational_url, timeout=settings.seconds("relational"), pool=pool),
        with_cache(truth, through, settings.cache_seconds, post=post_part, product=product_part),
        _feeds(settings),
        hot.open_sessions(settings.sessions_url, timeout=settings.seconds("sessions"), pool=pool),
        cache,
        hot.open_streams(settings.cache_url, timeout=settings.seconds("cache"), pool=pool),
        hot.open_limits(settings.cache_url, timeout=settings.seconds("cache"), pool=pool),
        hot.open_views(settings.cache_url, timeout=settings.seconds("cache"), pool=VIEWERS),
        through,
    )


def _limit(settings: Settings) -> Limit:
    """Of all that this process loads from the sources. Who gets no place within the documents' deadline is refused."""
    return Limit(settings.source_concurrency or max(2, settings.threads), settings.seconds("documents"))


def _feeds(settings: Settings) -> Feeds:
    """Raises `SettingsError` where the bucket widths make partitions too large."""
    try:
        return feeds.open_store(
            settings.feeds_url,
            timeout=settings.seconds("feeds"),
            retention=timedelta(days=settings.feeds_retention_days),
            replication=settings.feeds_replication,
            read_consistency=settings.feeds_read_consistency,
            write_consistency=settings.feeds_write_consistency,
            author_bucket_days=settings.feeds_author_bucket_days,
            home_bucket_days=settings.feeds_home_bucket_days,
            peak_per_day=settings.feeds_peak_per_day,
        )
    except ValueError as error:
        raise SettingsError(str(error)) from error


def build(settings: Settings, *, clock: Clock = utc_now, hasher: Hasher | None = None) -> Container:
    """Tests give their own clock, and a cheap hasher."""
    return assemble(settings, open_stores(settings), clock, hasher or Argon2Hasher(settings.hash_concurrency))


def assemble(
    settings: Settings,
    stores: Stores,
    clock: Clock,
    hasher: Hasher,
    provider: PaymentProvider | None = None,
    seconds: Callable[[], float] = time.monotonic,
) -> Container:
    """Services over given stores: a test may put its own adapter in one place."""
    ids = Ids(clock)
    retry = Retry()
    through, kept = stores.through, settings.cache_seconds
    counters = Counters(stores.relational, stores.documents, through, kept)
    stores = replace(stores, relational=StockWatch(stores.relational, counters.forget_stock))
    once = Once(stores.relational, retry, clock)
    orders = Orders(stores.relational, stores.documents.truth, once, clock, ids, counters.forget_stock)
    lifetime = timedelta(days=settings.session_days)
    retention = timedelta(days=settings.feeds_retention_days)
    dormant_after = timedelta(days=settings.dormant_days)
    readers = Readers(
        stores.relational, stores.documents, stores.feeds, clock, ids, dormant_after, settings.rebuild_posts
    )
    timelines = Timelines(stores.relational, stores.documents, stores.feeds, readers, clock, retention)
    profiles = Profiles(stores.relational, through, kept)
    firsts = Firsts(stores.documents.truth, timelines, through, kept)
    changes = Changes(through, stores.documents, counters, profiles, firsts)
    posts = Posts(stores.relational, stores.documents, stores.feeds, counters, changes, clock, ids, retry)
    budget = DeliveryBudget(settings.deliveries_per_second, seconds)
    announcer = Announcer(stores.streams, stores.relational)
    fanouts = Fanouts(
        stores.relational,
        stores.documents,
        stores.feeds,
        budget,
        clock,
        FanoutLimits(settings.fanout_chunk, settings.pull_threshold, settings.fanout_slice_seconds),
        announcer,
        readers,
    )
    return Container(
        settings=settings,
        stores=stores,
        clock=clock,
        ids=ids,
        hasher=hasher,
        accounts=Accounts(stores.relational, profiles, changes, hasher, clock, ids),
        sessions=Sessions(stores.relational, stores.sessions, hasher, clock, ids, lifetime),
        graph=Graph(stores.relational, counters, clock, ids, retry),
        posts=posts,
        comments=Comments(stores.relational, stores.documents, posts, counters, clock, ids),
        products=Products(stores.relational, stores.documents, changes, clock, ids),
        timelines=timelines,
        readers=readers,
        fanouts=fanouts,
        pulling=Pulling(stores.relational, fanouts, budget, clock, ids, timedelta(seconds=settings.pull_seconds)),
        counters=counters,
        profiles=profiles,
        firsts=firsts,
        changes=changes,
        cards=Cards(stores.relational, stores.documents, counters, profiles, through),
        # No older than shared caches may serve them, or their `Age` would make them stale on arrival.
        pages=HotPages(stores.cache, settings.shared_seconds or FRESH_SECONDS),
        notices=Notices(stores.relational, stores.documents, stores.feeds, announcer),
        notifications=Notifications(stores.relational, stores.documents, stores.feeds),
        retry=retry,
        once=once,
        wallets=Wallets(stores.relational, once, provider or SandboxProvider(), retry, clock, ids),
        orders=orders,
        checkout=Checkout(stores.relational, orders, retry, clock, ids),
        live=Live(stores.streams, stores.sessions, clock, LiveLimits(settings.streams)),
        throttle=_throttle(settings, stores.limits),
        views=Views(stores.views, stores.documents, timedelta(seconds=settings.views_seconds)),
    )


def _throttle(settings: Settings, limits: Limits) -> Throttle:
    asking = Rate(settings.rate_per_second, settings.rate_burst) if settings.rate_per_second else None
    guessing = Rate(settings.login_failures / 60, settings.login_failures) if settings.login_failures else None
    return Throttle(limits, asking, guessing)
