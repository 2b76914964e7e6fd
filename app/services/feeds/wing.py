"""The feeds wing: timelines, fan-out, pulling and feed activity."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Self

from msgspec import Struct

from app.services.commands.kit import Kit
from app.services.feeds.back_fill import BackFill
from app.services.feeds.delivery_budget import DeliveryBudget
from app.services.feeds.fanouts import FanoutLimits, Fanouts
from app.services.feeds.feed_activity import FeedActivity
from app.services.feeds.home_tops import HomeTops
from app.services.feeds.pulling import Pulling
from app.services.feeds.timeline_rebuild import TimelineRebuild
from app.services.feeds.timelines import Timelines
from app.services.live.announcer import Announcer
from app.stores import Stores


class FeedLimits(Struct, frozen=True):
    """`rebuild_posts`, `backfill_posts` and `top_entries` are the most posts that a rebuild, a new follow and the fill
    of a cached top read. An author stays pulled for `pulled_for` at least.
    """

    retention: timedelta
    dormant_after: timedelta
    rebuild_posts: int
    deliveries_per_second: int
    pulled_for: timedelta
    backfill_posts: int
    top_entries: int
    fanout: FanoutLimits


class FeedsWing(Struct, frozen=True):
    timelines: Timelines
    feed_activity: FeedActivity
    timeline_rebuild: TimelineRebuild
    fanouts: Fanouts
    pulling: Pulling
    back_fill: BackFill

    @classmethod
    def build(
        cls,
        stores: Stores,
        kit: Kit,
        announcer: Announcer,
        limits: FeedLimits,
        seconds: Callable[[], float] = time.monotonic,
    ) -> Self:
        relational, documents, feeds = stores.relational, stores.documents, stores.feeds
        budget = DeliveryBudget(limits.deliveries_per_second, seconds)
        feed_activity = FeedActivity(relational, feeds, kit, limits.dormant_after)
        rebuild = TimelineRebuild(relational, documents, feeds, kit, limits.rebuild_posts)
        tops = HomeTops(relational, documents, feeds, stores.cache, limits.top_entries)
        fanouts = Fanouts(relational, documents, feeds, tops, budget, kit.clock, limits.fanout, announcer, rebuild)
        return cls(
            Timelines(relational, documents, feeds, tops, feed_activity, rebuild, kit.clock, limits.retention),
            feed_activity,
            rebuild,
            fanouts,
            Pulling(relational, fanouts, budget, kit, limits.pulled_for),
            BackFill(relational, documents, feeds, rebuild, limits.backfill_posts),
        )
