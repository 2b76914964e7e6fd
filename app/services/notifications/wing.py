"""The notifications wing: writing and reading them."""

from typing import Self

from msgspec import Struct

from app.services.commands.kit import Kit
from app.services.live.announcer import Announcer
from app.services.notifications.inbox import Inbox
from app.services.notifications.writing import NotificationWriter
from app.services.pages.wing import PagesWing
from app.stores import Stores


class NotificationsWing(Struct, frozen=True):
    writing: NotificationWriter
    inbox: Inbox

    @classmethod
    def build(cls, stores: Stores, kit: Kit, pages: PagesWing, announcer: Announcer) -> Self:
        relational, documents, feeds = stores.relational, stores.documents, stores.feeds
        return cls(
            NotificationWriter(relational, documents, feeds, pages.invalidation, announcer, kit.clock),
            Inbox(relational, documents, feeds, pages, kit.clock),
        )
