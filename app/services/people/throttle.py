"""Rate limits of requests and of failed sign-ins. Nothing is limited while the limits' store is unavailable."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec import Struct

from app.errors import TooMany, Unauthenticated, WrongPassword, WrongToken
from app.services.people.mail_addresses import spellings
from repositories.errors import Unavailable
from repositories.hot import Limits, Rate, Verdict

# After an `Unavailable` the store is not called for this long, because each call could take its whole deadline.
AWAY_SECONDS = 1.0


class Rates(Struct, frozen=True):
    """`asking`: all requests of one account, or of one address for callers who are not signed in. `guessing`: failed
    sign-ins from one address to one account. `trying`: failed sign-ins from one address to any account. `joining`:
    registrations from one address. `mailing`: requests for mail to one account or e-mail address. None: no limit.
    """

    asking: Rate | None = None
    guessing: Rate | None = None
    trying: Rate | None = None
    joining: Rate | None = None
    mailing: Rate | None = None


class Throttle:
    def __init__(self, limits: Limits, rates: Rates, clock: Callable[[], float] = time.monotonic) -> None:
        self.asking = rates.asking
        self._limits = limits
        self._rates = rates
        self._clock = clock
        self._guard = threading.Lock()
        self._away_until = 0.0

    def request(self, who: str) -> Verdict | None:
        """Count one request of this account or address. None if there is no limit."""
        return self._take(f"ask:{who}", self.asking) if self.asking else None

    def join(self, address: str) -> None:
        """Count a registration. Raises `TooMany`."""
        found = self._take(f"join:{address}", self._rates.joining) if self._rates.joining else None
        if found is not None and not found.allowed:
            raise TooMany("too many registrations from this address", found.retry)

    def mail(self, name: str, address: str) -> None:
        """Count a request for mail to `name`. It also counts as a failed sign-in (`trying`). Raises `TooMany`."""
        mailbox = spellings(name)[0].casefold()
        for key, rate in ((f"mail:{mailbox}", self._rates.mailing), (f"try:{address}", self._rates.trying)):
            found = self._take(key, rate) if rate else None
            if found is not None and not found.allowed:
                raise TooMany("too many requests for mail", found.retry)

    @contextmanager
    def guess(self, name: str, address: str) -> Iterator[None]:
        """Context of a check of a password or mailed token. Raises `TooMany` on entry if too many have failed.

        `name` is the account's id, or the name as it was given if there is no such account. Concurrent checks are
        counted when they end, so up to one more per thread may be tried.
        """
        wanted = {f"guess:{address}:{name.casefold()}": self._rates.guessing, f"try:{address}": self._rates.trying}
        rates = {key: rate for key, rate in wanted.items() if rate}
        for key, rate in rates.items():
            found = self._take(key, rate, spend=False)
            if found is not None and not found.allowed:
                raise TooMany("too many failed sign-ins", found.retry)
        try:
            yield
        except (Unauthenticated, WrongPassword, WrongToken):
            for key, rate in rates.items():
                self._take(key, rate)
            raise

    def _take(self, key: str, rate: Rate, *, spend: bool = True) -> Verdict | None:
        if self._clock() < self._away_until:
            return None
        try:
            return self._limits.take(key, rate, spend=spend)
        except Unavailable:
            with self._guard:
                self._away_until = self._clock() + AWAY_SECONDS
            return None
