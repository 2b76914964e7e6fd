"""Composition root: settings in, stores and services out. The server, the relay and the CLI all build this.

Nothing connects here; adapters connect in the process and thread that first use them.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from app.clock import Clock, utc_now
from app.services.commands.kit import Kit
from app.services.commands.wing import CommandsWing
from app.services.content.wing import ContentWing
from app.services.feeds.fanouts import FanoutLimits
from app.services.feeds.wing import FeedLimits, FeedsWing
from app.services.live.hub import LiveLimits
from app.services.live.wing import LiveWing
from app.services.money.anchors import AnchorRules
from app.services.money.provider import PaymentProvider, SandboxProvider
from app.services.money.wing import MoneyWing
from app.services.notifications.wing import NotificationsWing
from app.services.pages.loading import Limit
from app.services.pages.wing import PageLimits, PagesWing
from app.services.people.mailer_by_url import open_mailer
from app.services.people.passwords import Argon2Hasher, Hasher
from app.services.people.throttle import Rates
from app.services.people.wing import PeopleLimits, PeopleWing
from app.services.webhooks.webhooks import WebhookRules, Webhooks
from app.stores import LeftBehind, Stores
from config import Settings, SettingsError
from repositories import documents, feeds, hot, relational
from repositories.feeds import FeedStore
from repositories.hot import Rate
from repositories.search import open_search
from repositories.sinks import open_sinks

VIEWERS = 2  # connections for views: the sending thread of each process, and the sweeper


@dataclass(frozen=True)
class Container:
    settings: Settings
    stores: Stores
    kit: Kit
    people: PeopleWing
    content: ContentWing
    feeds: FeedsWing
    money: MoneyWing
    notifications: NotificationsWing
    pages: PagesWing
    live: LiveWing
    commands: CommandsWing
    webhooks: Webhooks

    @property
    def urls(self) -> dict[str, str]:
        """The URL of each role."""
        return {role: getattr(self.settings, f"{role}_url") for role in self.stores.by_role()}

    def close(self) -> None:
        self.live.hub.close()
        self.content.views.close()
        self.stores.close()


def open_stores(settings: Settings, database_clock: Clock | None = None) -> Stores:
    pool = settings.threads
    truth = relational.open_store(
        settings.relational_url,
        timeout=settings.seconds("relational"),
        pool=pool,
        replicas=settings.relational_replicas,
        clock=database_clock,
    )
    beside = hot.open_cache_stores(settings.cache_url, timeout=settings.seconds("cache"), pool=pool, viewers=VIEWERS)
    outdated = LeftBehind()
    documented = documents.open_store(settings.documents_url, timeout=settings.seconds("documents"), pool=pool)
    return Stores(
        truth,
        documented,
        _open_feeds(settings),
        hot.open_sessions(
            settings.sessions_url,
            timeout=settings.seconds("sessions"),
            pool=pool,
            endings=lambda at, after, limit: truth.endings.since(at, after=after, limit=limit),
            seen=truth.replicated or documented.replicated,
        ),
        hot.guarded(beside.cache, outdated),
        beside.streams,
        beside.limits,
        beside.views,
        tuple(open_sinks(settings.sinks, timeout=settings.seconds("sinks"))),
        open_search(settings.search_url, timeout=settings.seconds("search")),
        outdated,
    )


def build(
    settings: Settings,
    *,
    clock: Clock = utc_now,
    hasher: Hasher | None = None,
    database_clock: Clock | None = None,
) -> Container:
    """Build the application. The arguments other than `settings` are for tests.

    `database_clock` is the clock of embedded databases, by default `clock`.
    """
    return assemble(
        settings,
        open_stores(settings, database_clock or clock),
        clock,
        hasher or Argon2Hasher(settings.hash_concurrency),
    )


def assemble(
    settings: Settings,
    stores: Stores,
    clock: Clock,
    hasher: Hasher,
    provider: PaymentProvider | None = None,
    seconds: Callable[[], float] = time.monotonic,
) -> Container:
    """Build the services over given stores, so that tests can replace single adapters."""
    kit = Kit.of(clock)
    live = LiveWing.build(stores, kit, LiveLimits(settings.streams))
    feeds = FeedsWing.build(stores, kit, live.announcer, _feed_limits(settings), seconds)
    pages = PagesWing.build(stores, kit, feeds.timelines, _page_limits(settings))
    commands = CommandsWing.build(pages.invalidation.transaction, kit)
    mailer = open_mailer(settings.mailer_url, sender=settings.mail_from, timeout=settings.seconds("mail"))
    people = PeopleWing.build(stores, kit, pages, hasher, mailer, _people_limits(settings))
    provider = provider or SandboxProvider(stores.relational, kit.retry)
    money = MoneyWing.build(stores, kit, commands.idempotency, pages.invalidation, provider, _anchor_rules(settings))
    content = ContentWing.build(stores, kit, pages, money.offers, timedelta(seconds=settings.views_seconds))
    notifications = NotificationsWing.build(stores, kit, pages, live.announcer)
    webhooks = Webhooks(stores.relational, kit, _webhook_rules(settings))
    return Container(
        settings, stores, kit, people, content, feeds, money, notifications, pages, live, commands, webhooks
    )


def _webhook_rules(settings: Settings) -> WebhookRules:
    overlap = timedelta(hours=settings.webhooks_overlap_hours)
    return WebhookRules(bool(settings.webhooks_token), settings.webhooks_inside, overlap)


def _page_limits(settings: Settings) -> PageLimits:
    """A load that gets no slot within the timeout of the documents role is refused."""
    loads = Limit(settings.source_concurrency or max(2, settings.threads), settings.seconds("documents"))
    signer = hashlib.blake2b(settings.secret_key.encode(), digest_size=4, person=b"whole pages").hexdigest()
    marks = settings.engines["cache"] not in {"sqlite", "postgresql"}
    return PageLimits(settings.cache_seconds, loads, settings.shared_seconds, signer, marks)


def _anchor_rules(settings: Settings) -> AnchorRules:
    folder = Path(settings.anchor_folder) if settings.anchor_folder else None
    return AnchorRules(folder, timedelta(seconds=settings.anchor_seconds), settings.anchor_secrets)


def _open_feeds(settings: Settings) -> FeedStore:
    """Open the feed store. Raises `SettingsError` if the bucket widths would make partitions too large."""
    try:
        return feeds.open_store(
            settings.feeds_url,
            timeout=settings.seconds("feeds"),
            pool=settings.threads,
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


def _feed_limits(settings: Settings) -> FeedLimits:
    return FeedLimits(
        retention=timedelta(days=settings.feeds_retention_days),
        dormant_after=timedelta(days=settings.dormant_days),
        rebuild_posts=settings.rebuild_posts,
        deliveries_per_second=settings.deliveries_per_second,
        pulled_for=timedelta(seconds=settings.pull_seconds),
        backfill_posts=settings.backfill_posts,
        top_entries=settings.home_top_entries,
        fanout=FanoutLimits(settings.fanout_chunk, settings.pull_threshold, settings.fanout_slice_seconds),
    )


def _people_limits(settings: Settings) -> PeopleLimits:
    per_second = settings.rate_per_second
    rates = Rates(
        asking=Rate(per_second, settings.rate_burst) if per_second else None,
        guessing=_rate_per(60, settings.login_failures),
        trying=_rate_per(60, settings.address_login_failures if settings.login_failures else 0),
        joining=_rate_per(3600, settings.registrations),
        mailing=_rate_per(3600, settings.mails),
    )
    return PeopleLimits(timedelta(days=settings.session_days), settings.mail_app_url, rates)


def _rate_per(seconds: float, most: int) -> Rate | None:
    return Rate(most / seconds, most) if most else None
