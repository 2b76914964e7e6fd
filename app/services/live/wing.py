"""The live wing: the hub of open streams and the announcer."""

from dataclasses import dataclass
from typing import Self

from app.services.commands.kit import Kit
from app.services.live.announcer import Announcer
from app.services.live.hub import Hub, LiveLimits
from app.stores import Stores


@dataclass(frozen=True)
class LiveWing:
    hub: Hub
    announcer: Announcer

    @classmethod
    def build(cls, stores: Stores, kit: Kit, limits: LiveLimits) -> Self:
        hub = Hub(stores.streams, stores.sessions, kit.clock, limits)
        return cls(hub, Announcer(stores.streams, stores.relational, kit.clock))
