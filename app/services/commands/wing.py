"""The services of this wing."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Self

from app.services.commands.idempotency import Once
from app.services.commands.kit import Kit
from repositories.relational import Transaction


@dataclass(frozen=True)
class CommandsWing:
    once: Once

    @classmethod
    def build(cls, transaction: Callable[[], AbstractContextManager[Transaction]], kit: Kit) -> Self:
        return cls(Once(transaction, kit))
