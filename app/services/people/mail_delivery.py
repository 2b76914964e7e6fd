"""How the relay sends mail: while the mail server is unavailable, other events are not held up."""

import logging
from datetime import datetime, timedelta

from app.clock import Clock
from app.errors import NoMail
from app.services.feeds.fanouts import Unfinished
from app.services.people.mailer import Mail, Mailer, Undeliverable
from repositories.errors import Unavailable

log = logging.getLogger(__name__)
# After the mail server did not answer, mail waits this long: each try could cost other events its whole deadline.
AWAY = timedelta(seconds=30)


class MailDelivery:
    def __init__(self, mailer: Mailer | None, clock: Clock) -> None:
        self._mailer = mailer
        self._clock = clock
        self._away_until: datetime | None = None

    def require(self) -> None:
        """Raises `NoMail` if there is no mailer."""
        if self._mailer is None:
            raise NoMail

    def check(self) -> None:
        """Raises `Unfinished` while the server is assumed to be unavailable."""
        if self._away_until and (left := self._away_until - self._clock()) > timedelta():
            raise Unfinished(left)

    def send(self, mail: Mail) -> None:
        """Raises `Unfinished` while the server is unavailable. Drops a mail that the server refuses for good, and every
        mail if there is no mailer.
        """
        self.check()
        try:
            if self._mailer:
                self._mailer.send(mail)
        except Undeliverable as refused:
            log.warning("mail is refused for good: %s", refused)
        except Unavailable as error:
            log.warning("mail waits: %s", error)
            self._away_until = self._clock() + AWAY
            raise Unfinished(AWAY) from error
