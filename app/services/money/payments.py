"""The payment provider that deposits come from: its port, and a sandbox."""

import threading
from abc import abstractmethod
from collections import OrderedDict
from typing import Literal, Protocol
from uuid import UUID

from repositories.records import Money

Outcome = Literal["approved", "declined", "unknown"]

LIMIT = 10**12
DECLINED = 40_402
TIMED_OUT = 40_504
SLOW = 40_503
REMEMBERED = 10_000


class PaymentProvider(Protocol):
    @abstractmethod
    def charge(self, reference: UUID, money: Money) -> Outcome:
        """Charge `money` once per reference. A repeated call returns the outcome of the first.

        `unknown`: no answer in time, or no connection. Never raises.
        """


class SandboxProvider(PaymentProvider):
    """Charges nothing and approves every amount except these, in any currency:

    - 40402, and any amount above 1000000000000, is declined;
    - 40503 times out on the first call, and is approved when the same deposit is tried again;
    - 40504 times out always.

    The first calls for 40503 are remembered per process. Everything else follows from the amount.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._asked: OrderedDict[UUID, None] = OrderedDict()

    def charge(self, reference: UUID, money: Money) -> Outcome:
        if money.amount == DECLINED or money.amount > LIMIT:
            return "declined"
        if money.amount == TIMED_OUT or (money.amount == SLOW and self._first(reference)):
            return "unknown"
        return "approved"

    def _first(self, reference: UUID) -> bool:
        with self._guard:
            known = reference in self._asked
            self._asked[reference] = None
            if len(self._asked) > REMEMBERED:
                self._asked.popitem(last=False)
            return not known
