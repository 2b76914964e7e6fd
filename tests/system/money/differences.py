"""The differences between the payment provider's list and the ledger, once no payment is under way."""

from datetime import UTC, datetime, timedelta

from app.services.money.reconciliation import Disagreement, Reconciliation
from tests.shop import Shop

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def differences(shop: Shop) -> list[Disagreement]:
    relational = shop.system.container.stores.relational
    work = Reconciliation(relational, shop.system.container.money.payments.provider, patience=0)
    return list(work.differences(BEGINNING, relational.now() + timedelta(days=1)))
