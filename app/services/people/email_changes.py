"""A change of one's own e-mail address. The new address is unverified, and the former one gets a mail."""

from datetime import datetime, timedelta
from uuid import UUID

from app.errors import WrongPassword
from app.events import EmailChanged
from app.services.commands.kit import Kit
from app.services.people.accounts import Accounts, taken
from app.services.people.mail_delivery import MailDelivery
from app.services.people.mailer import Mail
from app.services.people.passwords import Hasher
from repositories.errors import Conflict, Stale
from repositories.records.people import Login
from repositories.relational import RelationalStore

# A mail that could not be sent for this long is given up.
WORTH_SENDING = timedelta(days=2)
SUBJECT = "Your e-mail address was changed"
TEXT = """Hello,

the e-mail address of your account is no longer this one.

If you did not change it, somebody knows your password: contact the operators of this service.
"""


class EmailChanges:
    def __init__(
        self, relational: RelationalStore, accounts: Accounts, hasher: Hasher, delivery: MailDelivery, kit: Kit
    ) -> None:
        self._relational = relational
        self._accounts = accounts
        self._hasher = hasher
        self._delivery = delivery
        self._clock = kit.clock
        self._ids = kit.ids
        self._retry = kit.retry
        self._pack = kit.emitter

    def change(self, account_id: UUID, password: str, email: str) -> None:
        """Raises `WrongPassword`, also if the password was changed concurrently, and `RuleBroken` (`email_taken`).

        Idempotent: does nothing if the account already has this address.
        """
        login = self._accounts.login(account_id)
        if not self._hasher.verify(login.password_hash, password):
            raise WrongPassword
        if email == login.email:
            return
        try:
            self._retry(lambda: self._store(login, email))
        except Stale as stale:
            raise WrongPassword from stale
        except Conflict as conflict:
            raise taken(conflict) from conflict

    def report(self, former: str, at: datetime) -> None:
        """Send the mail to the former address. Raises `Unfinished` while the mail server is unavailable."""
        if self._clock() < at + WORTH_SENDING:
            self._delivery.send(Mail(former, SUBJECT, TEXT))

    def _store(self, login: Login, email: str) -> None:
        with self._relational.transaction() as tx:
            tx.accounts.set_email(login.account_id, email, if_hash=login.password_hash)
            tx.emit(self._pack(EmailChanged(self._ids(), login.account_id, login.email)))
