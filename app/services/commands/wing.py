"""The commands wing: idempotency keys."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Self

from msgspec import Struct

from app.services.commands.idempotency import Idempotency
from app.services.commands.kit import Kit
from repositories.relational import Transaction


class CommandsWing(Struct, frozen=True):
    idempotency: Idempotency

    @classmethod
    def build(cls, transaction: Callable[[], AbstractContextManager[Transaction]], kit: Kit) -> Self:
        return cls(Idempotency(transaction, kit))
