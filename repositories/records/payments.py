"""The record of a deposit or a payout, and the kinds of their transfers in the ledger."""

from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

from repositories.records.money import Money

# The kinds of the transfers between a wallet and the payment provider.
DEPOSIT, PAYOUT = "deposit", "payout"

# The expiry of a hold that only a command may end.
NEVER = datetime(9999, 12, 31, tzinfo=UTC)


class Payment(Struct, frozen=True):
    """A payment between a wallet and the payment provider, as recorded by the ledger or by the provider.

    `reference` is the id of the deposit's transfer, or of the payout's hold. The provider's record has neither `owner`
    nor `ended_at`, the time at which the ledger finished it.
    """

    reference: UUID
    kind: Literal["deposit", "payout"]
    money: Money
    state: Literal["pending", "approved", "declined"]
    at: datetime
    owner: UUID | None = None
    ended_at: datetime | None = None
