"""The services of this wing."""

from dataclasses import dataclass
from typing import Self

from app.services.commands.idempotency import Once
from app.services.commands.kit import Kit
from app.stores import Stores


@dataclass(frozen=True)
class CommandsWing:
    once: Once

    @classmethod
    def build(cls, stores: Stores, kit: Kit) -> Self:
        return cls(Once(stores.relational, kit))
