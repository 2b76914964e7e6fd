"""The record of a deposit or a payout, and what these are in the ledger."""

from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

from repositories.records import Money

# The kinds of the transfers between a wallet and the payment provider.
DEPOSIT, PAYOUT = "deposit", "payout"

# When a hold ends that only its own command ends.
NEVER = datetime(9999, 12, 31, tzinfo=UTC)


class Payment(Struct, frozen=True):
    """Money between a wallet and the payment provider, as the ledger has it, or as the provider does.

    `reference` is the id of the deposit's transfer, or of the payout's hold. The provider knows no `owner`, and not
    when the ledger was done with it (`ended_at`).
    """

    reference: UUID
    kind: Literal["deposit", "payout"]
    money: Money
    state: Literal["pending", "approved", "declined"]
    at: datetime
    owner: UUID | None = None
    ended_at: datetime | None = None
