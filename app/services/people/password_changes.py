"""A change of one's own password. It ends all other sessions."""

from app.errors import Missing, WrongPassword
from app.events import PasswordChanged
from app.services.commands.kit import Kit
from app.services.people.password_rules import check, words
from app.services.people.passwords import Hasher
from app.services.people.sessions import Sessions
from repositories.errors import Stale
from repositories.records.people import Login, Session
from repositories.relational import RelationalStore


class PasswordChanges:
    def __init__(self, relational: RelationalStore, sessions: Sessions, hasher: Hasher, kit: Kit) -> None:
        self._relational = relational
        self._sessions = sessions
        self._hasher = hasher
        self._retry = kit.retry
        self._pack = kit.emitter

    def change(self, session: Session, current: str, new: str) -> None:
        """Raises `WrongPassword`, `Missing`, and `Unprocessable` for a new password easy to guess.

        Idempotent: if `new` is already the password, only the other sessions are ended (again).
        """
        login = self._relational.accounts.login_of(session.account_id)
        if login is None:
            raise Missing("there is no such account")
        if self._hasher.verify(login.password_hash, current):
            self._check(login, new)
            self._replace(login, session, self._hasher.hash(new))
        elif not self._hasher.verify(login.password_hash, new):
            raise WrongPassword
        self._sessions.end_others(session)

    def _check(self, login: Login, new: str) -> None:
        account = self._relational.accounts.get([login.account_id])[login.account_id]
        check(new, words(account.handle, login.email, account.display_name), "/new_password")

    def _replace(self, login: Login, session: Session, password_hash: str) -> None:
        """Of two concurrent changes, the second raises `WrongPassword`: `current` is no longer the password."""
        try:
            self._retry(lambda: self._store(login, session, password_hash))
        except Stale as stale:
            raise WrongPassword from stale

    def _store(self, login: Login, session: Session, password_hash: str) -> None:
        with self._relational.transaction() as tx:
            tx.accounts.set_password(login.account_id, password_hash, if_hash=login.password_hash)
            tx.emit(self._pack(PasswordChanged(login.account_id, session.id)))
