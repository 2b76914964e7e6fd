"""What every port raises. Adapters translate their driver's errors into these and into nothing else."""


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
