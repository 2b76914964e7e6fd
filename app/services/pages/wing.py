"""The pages wing: what is cached and what is assembled from it."""

from typing import Self

from msgspec import Struct

from app.services.commands.kit import Kit
from app.services.feeds.kept_states import KeptStates
from app.services.feeds.timelines import Timelines
from app.services.pages.cards import Cards
from app.services.pages.first_pages import FirstPages
from app.services.pages.handles import Handles
from app.services.pages.home_pages import HomePages
from app.services.pages.invalidation import Invalidation
from app.services.pages.kinds import Kinds
from app.services.pages.loading import Limit
from app.services.pages.lost_drops import LostDrops
from app.services.pages.marks import Marks
from app.services.pages.read_through import ReadThrough
from app.services.pages.viewers import Viewers
from app.services.pages.whole_pages import FRESH_SECONDS, WholePages
from app.services.pages.write_through import WriteThrough
from app.stores import Stores


class PageLimits(Struct, frozen=True):
    """How long values are kept: `fresh_seconds` those that pages are made of, `shared_seconds` whole pages, which
    shared caches may keep too. A whole page is kept no longer than shared caches may serve it, or its `Age` would make
    it stale on arrival.

    `loads` limits the concurrent loads of this process from the sources. `signer` identifies the secret that signs
    cursors. `marks`: whether to keep what viewers like and follow and the states of their feeds, which pays if the
    cache is much cheaper to ask than the relational store.
    """

    fresh_seconds: float
    loads: Limit
    shared_seconds: float = 0
    signer: str = ""
    marks: bool = False


class PagesWing(Struct, frozen=True):
    kinds: Kinds
    through: ReadThrough
    handles: Handles
    first: FirstPages
    invalidation: Invalidation
    write_through: WriteThrough
    viewers: Viewers
    cards: Cards
    whole: WholePages
    home: HomePages

    @classmethod
    def build(cls, stores: Stores, kit: Kit, timelines: Timelines, limits: PageLimits) -> Self:
        cache, relational = stores.cache, stores.relational
        kinds = Kinds(relational, stores.documents, stores.feeds.notifications, limits.fresh_seconds)
        through = ReadThrough(cache, limits.loads)
        handles = Handles(through, kinds)
        marks = Marks(relational, cache, kit.clock, limits.fresh_seconds) if limits.marks else None
        viewers = Viewers(relational, marks)
        first = FirstPages(stores.documents, timelines, through, limits.fresh_seconds)
        states = KeptStates(relational, cache, timelines, kit.clock) if limits.marks else None
        lost = LostDrops(relational) if limits.marks else None
        invalidation = Invalidation(cache, relational, kinds, first, kit.clock, lost)
        return cls(
            kinds,
            through,
            handles,
            first,
            invalidation,
            WriteThrough(cache, kinds, invalidation),
            viewers,
            Cards(viewers, timelines, through, kinds, handles),
            WholePages(cache, limits.shared_seconds or FRESH_SECONDS, limits.signer),
            HomePages(timelines, cache, limits.signer, states),
        )
