"""The notifications wing: writing and reading them."""

from dataclasses import dataclass
from typing import Self

from app.services.commands.kit import Kit
from app.services.live.announcer import Announcer
from app.services.notifications.inbox import Inbox
from app.services.notifications.writing import NotificationWriter
from app.stores import Stores


@dataclass(frozen=True)
class NotificationsWing:
    writing: NotificationWriter
    inbox: Inbox

    @classmethod
    def build(cls, stores: Stores, kit: Kit, announcer: Announcer) -> Self:
        relational, documents, feeds = stores.relational, stores.documents, stores.feeds
        return cls(
            NotificationWriter(relational, documents, feeds, announcer, kit.clock),
            Inbox(relational, documents, feeds, kit.clock),
        )
