"""The errors of the ports. Adapters translate every error of their driver into one of these."""

from uuid import UUID


class StoreError(Exception):
    """Base of all errors that ports raise."""


class NotFound(StoreError):
    """The record to be changed does not exist, or is deleted."""


class Conflict(StoreError):
    """A unique value is taken. `field` names it in the domain's words: `id`, `handle`, `email`."""

    def __init__(self, field: str) -> None:
        super().__init__(f"{field} is taken")
        self.field = field


class Stale(StoreError):
    """The version a command is based on is no longer current."""


class Invalid(StoreError):
    """The store cannot hold this value: a NUL in text, a lone surrogate, an integer beyond 64 bits."""


class Contention(StoreError):
    """The command lost against a concurrent one (deadlock, serialization failure, lock timeout). Safe to retry."""


class Inconsistent(StoreError):
    """Rows of money or stock contradict one another. No command can cause this: they were altered from outside."""


class Unavailable(StoreError):
    """The store did not answer in time, or at all. `store` is the role's name."""

    def __init__(self, store: str, reason: str = "") -> None:
        super().__init__(f"{store} is unavailable{': ' if reason else ''}{reason}")
        self.store = store


class ReadOnly(Unavailable):
    """The store answers but takes no writes: a replica, or a demoted primary. Nothing was changed."""


class MovedAway(Unavailable):
    """The role has moved to another place, as the mark of this place says. Nothing was changed."""


class Insufficient(StoreError):
    """The ledger account has too little available."""


class Resolved(StoreError):
    """The hold has already ended. `outcome` is `post`, `void` or `expire`."""

    def __init__(self, outcome: str) -> None:
        super().__init__(f"the hold has ended by {outcome}")
        self.outcome = outcome


class Short(StoreError):
    """Too few units of `product_id` are free."""

    def __init__(self, product_id: UUID) -> None:
        super().__init__(f"not enough of {product_id}")
        self.product_id = product_id


class IllegalMove(StoreError):
    """The order is in `state`, which does not allow this move."""

    def __init__(self, state: str) -> None:
        super().__init__(f"the order is {state}")
        self.state = state


class Capped(StoreError):
    """The refund exceeds `left`, the amount not yet refunded."""

    def __init__(self, left: int) -> None:
        super().__init__(f"only {left} is left to refund")
        self.left = left
