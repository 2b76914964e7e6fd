"""Tokens sent by mail: to set a new password, and to verify an e-mail address.

A request does not reveal whether an address is known: each request writes an event, and the relay looks up the account.
The relay makes the token when it sends the mail, so only the token's SHA-256 is ever stored. If a mail is sent twice,
the two mails have different tokens, and only the last one is valid.
"""

import secrets
from datetime import datetime, timedelta
from uuid import UUID

from app.errors import WrongToken
from app.events import MailRequested, PasswordChanged
from app.services.commands.kit import Kit
from app.services.feeds.fanouts import Unfinished
from app.services.people.mail_delivery import MailDelivery
from app.services.people.mailer import Mail
from app.services.people.password_rules import check, words
from app.services.people.passwords import Hasher
from app.services.people.sessions import Sessions, digest
from repositories.errors import Stale
from repositories.records.events import Event
from repositories.records.people import Account, Login
from repositories.relational import RelationalStore
from repositories.relational.mail_tokens_port import Purpose

LIFETIME: dict[Purpose, timedelta] = {"reset": timedelta(hours=1), "verify": timedelta(days=2)}
SUBJECTS: dict[Purpose, str] = {"reset": "A new password", "verify": "Is this your e-mail address?"}
PATHS: dict[Purpose, str] = {"reset": "reset-password", "verify": "verify-email"}
TEXTS: dict[Purpose, str] = {
    "reset": """Hello @{handle},

somebody has requested a new password for your account. To set it, use this within an hour; it works once:

{token}

If it was not you, you need not do anything: your password has not been changed.
""",
    "verify": """Hello @{handle},

to confirm your e-mail address, use this within two days; it works once:

{token}

If you have no account, you need not do anything.
""",
}


class MailedTokens:
    def __init__(
        self,
        relational: RelationalStore,
        sessions: Sessions,
        hasher: Hasher,
        delivery: MailDelivery,
        kit: Kit,
        app_url: str,
    ) -> None:
        """Mails have links that start with `app_url`, or the bare token if it is empty."""
        self._relational = relational
        self._sessions = sessions
        self._hasher = hasher
        self._delivery = delivery
        self._app_url = app_url
        self._clock = kit.clock
        self._ids = kit.ids
        self._retry = kit.retry
        self._pack = kit.emitter

    def request_reset(self, email: str) -> None:
        """Behaves the same for known and unknown addresses. Raises `NoMail`."""
        found = self._sessions.known(email)
        self._request(found.account_id if found else self._ids(), "reset")

    def request_verification(self, account_id: UUID) -> None:
        """Nothing is sent if the address is already verified. Raises `NoMail`."""
        self._request(account_id, "verify")

    def send(self, account_id: UUID, purpose: Purpose, at: datetime) -> None:
        """Send the mail that was requested `at`, unless the lifetime of a token has passed since.

        Raises `Unfinished` while the mail server is unavailable, and if the address or the password was changed
        concurrently.
        """
        now = self._clock()
        login = self._relational.accounts.login_of(account_id)
        if login is None or now >= at + LIFETIME[purpose] or (purpose == "verify" and login.verified_at):
            return
        self._delivery.check()
        account = self._relational.accounts.get([account_id])[account_id]
        token = secrets.token_urlsafe(32)
        try:
            with self._relational.transaction() as tx:
                tx.mail_tokens.put(login, purpose, digest(token), expires_at=now + LIFETIME[purpose])
        except Stale as changed:
            raise Unfinished from changed
        self._delivery.send(self._mail(account, login, purpose, token))

    def reset(self, token: str, new: str) -> None:
        """Set the password and end all sessions. Raises `WrongToken`, `Unprocessable` for a password easy to guess."""
        login, account = self._owner(token)
        check(new, words(account.handle, login.email, account.display_name), "/new_password")
        password_hash = self._hasher.hash(new)
        self._retry(lambda: self._store(token, login, password_hash))
        self._sessions.end_all_before_event(account.id)

    def verify(self, token: str) -> None:
        """Raises `WrongToken`."""
        self._retry(lambda: self._verify(token))

    def _verify(self, token: str) -> None:
        with self._relational.transaction() as tx:
            account_id = tx.mail_tokens.take(digest(token), "verify", now=self._clock())
            if account_id is None:
                raise WrongToken
            tx.accounts.verify(account_id, self._clock())

    def _request(self, account_id: UUID, purpose: Purpose) -> None:
        self._delivery.require()
        self._retry(lambda: self._emit(self._pack(MailRequested(self._ids(), account_id, purpose))))

    def _emit(self, event: Event) -> None:
        with self._relational.transaction() as tx:
            tx.emit(event)

    def _mail(self, account: Account, login: Login, purpose: Purpose, token: str) -> Mail:
        shown = f"{self._app_url.rstrip('/')}/{PATHS[purpose]}#token={token}" if self._app_url else token
        return Mail(login.email, SUBJECTS[purpose], TEXTS[purpose].format(handle=account.handle, token=shown))

    def _owner(self, token: str) -> tuple[Login, Account]:
        account_id = self._relational.mail_tokens.owner(digest(token), "reset", now=self._clock())
        login = self._relational.accounts.login_of(account_id) if account_id else None
        if login is None:
            raise WrongToken
        return login, self._relational.accounts.get([login.account_id])[login.account_id]

    def _store(self, token: str, login: Login, password_hash: str) -> None:
        """Changing the password deletes its tokens, so while this token exists `login` has the current password."""
        now = self._clock()
        with self._relational.transaction() as tx:
            if tx.mail_tokens.take(digest(token), "reset", now=now) is None:
                raise WrongToken
            tx.accounts.set_password(login.account_id, password_hash, if_hash=login.password_hash)
            tx.accounts.verify(login.account_id, now)
            tx.emit(self._pack(PasswordChanged(login.account_id, None), at=now))
