"""The content wing: posts, comments, products and views."""

from datetime import timedelta
from typing import Self

from msgspec import Struct

from app.services.commands.kit import Kit
from app.services.content.comments import Comments
from app.services.content.departures import Departures
from app.services.content.posts import Posts
from app.services.content.products import Products
from app.services.content.search import Search
from app.services.content.views import Views
from app.services.money.offers import Offers
from app.services.pages.wing import PagesWing
from app.stores import Stores


class ContentWing(Struct, frozen=True):
    posts: Posts
    comments: Comments
    products: Products
    views: Views
    departures: Departures
    search: Search

    @classmethod
    def build(cls, stores: Stores, kit: Kit, pages: PagesWing, offers: Offers, views_every: timedelta) -> Self:
        relational, documents = stores.relational, stores.documents
        posts = Posts(relational, documents, stores.feeds, pages.invalidation, kit)
        return cls(
            posts,
            Comments(relational, documents, posts, pages.invalidation, kit),
            Products(relational, documents, offers, pages.invalidation, kit),
            Views(stores.views, documents, views_every),
            Departures(relational, documents, pages.invalidation, kit),
            Search(stores.search, pages.cards, pages.viewers),
        )
