"""The money wing: wallets, orders and their settlement."""

from typing import Self

from msgspec import Struct

from app.services.commands.idempotency import Idempotency
from app.services.commands.kit import Kit
from app.services.money.anchors import AnchorRules, Anchors
from app.services.money.fulfilment import Fulfilment
from app.services.money.offers import Offers
from app.services.money.orders import Orders
from app.services.money.payments import Payments
from app.services.money.provider import PaymentProvider
from app.services.money.refunds import Refunds
from app.services.money.settlement import Settlement
from app.services.money.wallets import Wallets
from app.services.pages.invalidation import Invalidation
from app.stores import Stores


class MoneyWing(Struct, frozen=True):
    wallets: Wallets
    payments: Payments
    offers: Offers
    orders: Orders
    refunds: Refunds
    fulfilment: Fulfilment
    settlement: Settlement
    anchors: Anchors

    @classmethod
    def build(
        cls,
        stores: Stores,
        kit: Kit,
        idempotency: Idempotency,
        invalidation: Invalidation,
        provider: PaymentProvider,
        anchor_rules: AnchorRules,
    ) -> Self:
        offers = Offers(stores.relational, stores.documents, kit)
        orders = Orders(stores.relational, offers, idempotency, invalidation, kit)
        refunds = Refunds(stores.relational, idempotency, orders, kit)
        return cls(
            Wallets(stores.relational, idempotency, kit),
            Payments(stores.relational, idempotency, provider, kit),
            offers,
            orders,
            refunds,
            Fulfilment(stores.relational, idempotency, orders, refunds, kit),
            Settlement(invalidation, orders, kit),
            Anchors(stores.relational, anchor_rules, kit),
        )
