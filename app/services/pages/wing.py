"""The services of this wing."""

from dataclasses import dataclass
from typing import Self

from msgspec import Struct

from app.services.feeds.timelines import Timelines
from app.services.pages.cards import Cards
from app.services.pages.counters import Counters
from app.services.pages.first_pages import Firsts
from app.services.pages.invalidation import Changes
from app.services.pages.profiles import Profiles
from app.services.pages.whole_pages import FRESH_SECONDS, HotPages
from app.stores import Stores


class PageLimits(Struct, frozen=True):
    """How long things are kept: `fresh_seconds` what pages are made of; `shared_seconds` pages, also by others.

    A whole page is kept no longer than shared caches may serve it, or its `Age` would make it stale on arrival.
    """

    fresh_seconds: float
    shared_seconds: float = 0


@dataclass(frozen=True)
class PagesWing:
    counters: Counters
    profiles: Profiles
    firsts: Firsts
    changes: Changes
    cards: Cards
    whole: HotPages

    @classmethod
    def build(cls, stores: Stores, timelines: Timelines, limits: PageLimits) -> Self:
        relational, documents, through = stores.relational, stores.documents, stores.through
        counters = Counters(relational, documents, through, limits.fresh_seconds)
        profiles = Profiles(relational, through, limits.fresh_seconds)
        firsts = Firsts(documents.truth, timelines, through, limits.fresh_seconds)
        return cls(
            counters,
            profiles,
            firsts,
            Changes(through, documents, counters, profiles, firsts),
            Cards(relational, documents, counters, profiles, through),
            HotPages(stores.cache, limits.shared_seconds or FRESH_SECONDS),
        )
