"""Sign in and out. A token has 256 random bits and is shown once; only its SHA-256 is stored.

A slow hash is not needed: 256 random bits cannot be guessed. A constant-time comparison is not needed: the lookup is by
the digest (OWASP ASVS 5.0, 6.5.2).
"""

import hashlib
import logging
import secrets
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from app.errors import Missing, Unauthenticated
from app.services.commands.kit import Kit
from app.services.people.mail_addresses import spellings
from app.services.people.passwords import Hasher
from repositories.errors import Unavailable
from repositories.hot import SessionStore
from repositories.records.people import Ending, Login, Session
from repositories.relational import RelationalStore

log = logging.getLogger(__name__)
# A use is recorded if the last recorded one is older than this: one extra round trip in five minutes.
NOTED_EVERY = timedelta(minutes=5)
# Endings are kept this long at least, since a session may have been made under a longer configured lifetime.
LONGEST_LIFETIME = timedelta(days=90)
REPEATED = timedelta(seconds=10)
REPEATED_AT_ONCE = 1000


class SignedIn(Struct, frozen=True):
    token: str
    session: Session


class Sessions:
    def __init__(
        self, relational: RelationalStore, store: SessionStore, hasher: Hasher, kit: Kit, lifetime: timedelta
    ) -> None:
        self._relational = relational
        self._store = store
        self._hasher = hasher
        self._clock = kit.clock
        self._ids = kit.ids
        self._retry = kit.retry
        self._lifetime = lifetime

    def known(self, login: str) -> Login | None:
        """The login with this handle or e-mail address, or None."""
        found = (self._relational.accounts.login(name) for name in spellings(login))
        return next((one for one in found if one), None)

    def sign_in(self, found: Login | None, password: str, device: str | None, address: str | None = None) -> SignedIn:
        """Unknown account and wrong password raise the same `Unauthenticated`, in equal time."""
        if not self._hasher.verify(found.password_hash if found else None, password) or found is None:
            raise _wrong_credentials()
        now = self._clock()
        session = Session(self._ids(), found.account_id, device, now, now + self._lifetime, now, address)
        token = secrets.token_urlsafe(32)
        self._store.add(session, digest(token))
        self._refuse_former_password(found, session)
        return SignedIn(token, session)

    def authenticate(self, token: str, address: str | None = None) -> Session:
        """The session of a token. `address` is the client's IP address. Raises `Unauthenticated`."""
        now, its_digest = self._clock(), digest(token)
        found = self._store.find(its_digest, now=now)
        if found is None:
            raise Unauthenticated("the token is unknown, ended or expired", code="invalid_token")
        if now - (found.used_at or found.created_at) >= NOTED_EVERY:
            found = replace(found, used_at=now, address=address)
            self._note_use(found, its_digest)
        return found

    def devices(self, account_id: UUID, *, before: UUID | None = None) -> list[Session]:
        """Newest first, strictly below `before`. An account has few sessions, so all are read."""
        found = self._store.of_account(account_id, now=self._clock())
        return [s for s in found if before is None or s.id < before]

    def device(self, account_id: UUID, session_id: UUID) -> Session:
        """Raises `Missing`."""
        for session in self.devices(account_id):
            if session.id == session_id:
                return session
        raise Missing("there is no such session")

    def end(self, session: Session) -> None:
        """Raises `Missing` if it has ended already. The ending is also recorded in the relational store, because the
        session store may lose its last writes.
        """
        try:
            self._record_ending(session.account_id, session_id=session.id)
        finally:
            ended = self._store.end(session.account_id, session.id)
        if not ended:
            raise Missing("there is no such session")

    def end_others(self, session: Session) -> None:
        self._end_all(session.account_id, keep=session.id)

    def end_all(self, account_id: UUID) -> None:
        """Idempotent."""
        self._end_all(account_id, keep=None)

    def end_all_before_event(self, account_id: UUID) -> None:
        """End all sessions after a change whose event ends them too. Logs `Unavailable`: while the session store is
        unavailable no token is accepted, and the event ends the sessions once it is back.
        """
        try:
            self.end_all(account_id)
        except Unavailable as error:
            log.warning("the sessions of %s are left to an event: %s", account_id, error)

    def end_earlier(self, account_id: UUID, at: datetime, *, keep: UUID | None) -> None:
        """End the sessions made at or before `at`, except `keep`. Idempotent: sessions made after `at` stay."""
        self._record_ending(account_id, keep=keep, at=at)
        self._end_made_by(account_id, at, keep)

    def end_again(self, now: datetime) -> int:
        """Repeat the endings of the last `REPEATED`, since a process may have sent them to a demoted Redis master.

        Returns 0: a repetition does not count as progress.
        """
        for ending in self._relational.endings.since(now - REPEATED, limit=REPEATED_AT_ONCE):
            if ending.session_id is None:
                self._end_made_by(ending.account_id, ending.ended_at, ending.kept_id)
            else:
                self._store.end(ending.account_id, ending.session_id)
        return 0

    def _end_all(self, account_id: UUID, keep: UUID | None) -> None:
        try:
            self._record_ending(account_id, keep=keep)
        finally:
            self._store.end_all(account_id, keep=keep)

    def _end_made_by(self, account_id: UUID, at: datetime, keep: UUID | None) -> None:
        for session in self.devices(account_id):
            if session.created_at <= at and session.id != keep:
                self._store.end(account_id, session.id)

    def _record_ending(
        self, account_id: UUID, *, session_id: UUID | None = None, keep: UUID | None = None, at: datetime | None = None
    ) -> None:
        now = self._clock()
        over = now + max(self._lifetime, LONGEST_LIFETIME)
        self._retry(lambda: self._add_ending(Ending(self._ids(), account_id, session_id, keep, at or now, now, over)))

    def _add_ending(self, ending: Ending) -> None:
        with self._relational.transaction() as tx:
            tx.endings.add(ending)

    def _note_use(self, session: Session, its_digest: bytes) -> None:
        try:
            self._store.note_use(session, its_digest)
        except Unavailable as error:
            log.warning("the use of session %s is not noted: %s", session.id, error)

    def _refuse_former_password(self, found: Login, session: Session) -> None:
        """End the new session if the password has changed since `found` was read.

        This is checked after the session is stored: a password change that commits later ends the session itself.
        """
        login = self._relational.accounts.login_of(found.account_id)
        if login is None or login.password_hash != found.password_hash:
            self._store.end(found.account_id, session.id)
            raise _wrong_credentials()


def _wrong_credentials() -> Unauthenticated:
    return Unauthenticated("the login or the password is wrong", code="wrong_credentials")


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
