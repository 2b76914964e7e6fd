"""The notifications wing: writing and reading them."""

from dataclasses import dataclass
from typing import Self

from app.services.commands.kit import Kit
from app.services.live.announcer import Announcer
from app.services.notifications.inbox import Inbox
from app.services.notifications.writing import NotificationWriter
from app.services.pages.wing import PagesWing
from app.stores import Stores


@dataclass(frozen=True)
class NotificationsWing:
    writing: NotificationWriter
    inbox: Inbox

    @classmethod
    def build(cls, stores: Stores, kit: Kit, pages: PagesWing, announcer: Announcer) -> Self:
        relational, documents, feeds = stores.relational, stores.documents, stores.feeds
        return cls(
            NotificationWriter(relational, documents, feeds, pages.invalidation, announcer, kit.clock),
            Inbox(relational, documents, feeds, pages, kit.clock),
        )
