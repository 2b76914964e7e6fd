"""What every port raises. Adapters translate their driver's errors into these and into nothing else."""

from uuid import UUID


class StoreError(Exception):
    """Base of everything a port raises on purpose."""


class NotFound(StoreError):
    """The thing a command was to change is not there, or is deleted."""


class Conflict(StoreError):
    """A unique value is taken. `field` names it in the domain's words: `id`, `handle`, `email`."""

    def __init__(self, field: str) -> None:
        super().__init__(f"{field} is taken")
        self.field = field


class Stale(StoreError):
    """The version the command was based on is no longer the current one."""


class Invalid(StoreError):
    """The store cannot hold this value: a NUL in text, a lone surrogate, an integer beyond 64 bits."""


class Contention(StoreError):
    """Lost against a concurrent command (deadlock, serialization, lock wait). Safe to run again."""


class Unavailable(StoreError):
    """The store did not answer in time, or at all. `store` is the role's name."""

    def __init__(self, store: str, reason: str = "") -> None:
        super().__init__(f"{store} is unavailable{': ' if reason else ''}{reason}")
        self.store = store


class Insufficient(StoreError):
    """The account has not that much available."""


class Resolved(StoreError):
    """The hold has ended before. `outcome` says how: `post`, `void` or `expire`."""

    def __init__(self, outcome: str) -> None:
        super().__init__(f"the hold has ended by {outcome}")
        self.outcome = outcome


class Short(StoreError):
    """Not enough units of `product_id` are free."""

    def __init__(self, product_id: UUID) -> None:
        super().__init__(f"not enough of {product_id}")
        self.product_id = product_id


class IllegalMove(StoreError):
    """The order is in `state`, from which there is no such move."""

    def __init__(self, state: str) -> None:
        super().__init__(f"the order is {state}")
        self.state = state


class Capped(StoreError):
    """More than the `left` that may still be refunded."""

    def __init__(self, left: int) -> None:
        super().__init__(f"only {left} is left to refund")
        self.left = left
