"""Full-text search: a separate service, which is fed by events, returns ids; the cards are built here."""

from collections.abc import Sequence
from uuid import UUID

import msgspec
from msgspec import Struct

from app.errors import SearchOff
from app.services.pages.cards import Cards
from app.services.pages.fragments import with_member
from app.services.pages.viewers import Viewers
from repositories.search import Found, Kind, SearchIndex


class Search:
    """Finds posts and products. `index` is None if search is not configured."""

    def __init__(self, index: SearchIndex | None, cards: Cards, viewers: Viewers) -> None:
        self._index = index
        self._cards = cards
        self._viewers = viewers

    def find(self, query: str, kind: Kind | None, *, before: UUID | None, limit: int) -> Sequence[Found]:
        """Hits, newest first; some may have been deleted since. Raises `SearchOff`, `Unavailable`."""
        if self._index is None:
            raise SearchOff
        return self._index.find(query, kind, before=before, limit=limit)

    def cards(self, found: Sequence[Found], viewer: UUID | None) -> list[tuple[Kind, bytes]]:
        """The kind and card of each hit, in the order given, without those that no longer exist."""
        shown = self._posts([one.id for one in found if one.kind == "post"], viewer)
        shown |= self._products([one.id for one in found if one.kind == "product"])
        return [(one.kind, shown[one.id]) for one in found if one.id in shown]

    def _posts(self, ids: Sequence[UUID], viewer: UUID | None) -> dict[UUID, bytes]:
        cards = self._cards.posts(ids) if ids else []
        bodies = {card.about: card.body for card in cards if card.about}
        views = self._viewers.of_posts(
            viewer, {card.about: card.author for card in cards if card.about and card.author}
        )
        return bodies | {post: with_member(bodies[post], "viewer", view) for post, view in views.items()}

    def _products(self, ids: Sequence[UUID]) -> dict[UUID, bytes]:
        cards = self._cards.products(ids) if ids else []
        return {msgspec.json.decode(card.body, type=_Offer).product.id: card.body for card in cards}


class _Id(Struct):
    id: UUID


class _Offer(Struct):
    """The part of a product's card that is decoded: the product's id."""

    product: _Id
