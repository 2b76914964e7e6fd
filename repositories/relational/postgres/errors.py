"""Translates violated constraints of the relational tables into the port's errors."""

from repositories.postgres.errors import translation
from repositories.translation import Translation

ROLE = "relational"

_FIELDS = {
    "accounts_pkey": "id",
    "accounts_handle_key": "handle",
    "logins_pkey": "id",
    "logins_email_key": "email",
    "outbox_id": "id",
    "orders_pkey": "id",
    "refunds_pkey": "id",
    "reservations_pkey": "id",
    "shipments_pkey": "id",
}
# Constraints that only tampered rows can violate: every command checks the same itself, under a lock.
_INVARIANTS = {
    *("entries_pkey", "entries_legs", "open_holds_pkey", "transfers_hold", "transfers_debited", "transfers_credited"),
    *("ledger_accounts_held_check", "ledger_accounts_check"),
    *("stock_check", "stock_on_hand_check", "stock_sold_check", "reservations_check"),
}
_TRANSLATION = translation(ROLE, fields=_FIELDS, invariants=_INVARIANTS)


def translated() -> Translation:
    return _TRANSLATION
