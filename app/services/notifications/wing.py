"""The services of this wing."""

from dataclasses import dataclass
from typing import Self

from app.services.live.announcer import Announcer
from app.services.notifications.inbox import Notifications
from app.services.notifications.writing import Notices
from app.stores import Stores


@dataclass(frozen=True)
class NotificationsWing:
    writing: Notices
    inbox: Notifications

    @classmethod
    def build(cls, stores: Stores, announcer: Announcer) -> Self:
        relational, documents, feeds = stores.relational, stores.documents, stores.feeds
        return cls(Notices(relational, documents, feeds, announcer), Notifications(relational, documents, feeds))
