"""Accounts: register, and change one's own profile.

A change is written through the cache: when it is answered, the cache has the new profile, unless there was a concurrent
change.
"""

from datetime import timedelta
from typing import TypedDict
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from app.errors import Missing, PreconditionFailed, RuleBroken
from app.events import AccountEdited
from app.services.commands.idempotency import ReservedId
from app.services.commands.kit import Kit
from app.services.commands.precondition import Precondition
from app.services.pages.handles import name_of
from app.services.pages.invalidation import Invalidation
from app.services.pages.write_through import WriteThrough
from app.services.people.password_rules import check, words
from app.services.people.passwords import Hasher
from repositories.errors import Conflict, Stale
from repositories.records.people import Account, Login
from repositories.relational import RelationalStore

# How long a former handle stays reserved for its former owner, so that nobody can impersonate them at once.
RESERVED = timedelta(days=30)


class Registration(Struct, frozen=True):
    handle: str
    email: str
    password: str
    display_name: str


class ProfileChanges(TypedDict, total=False):
    handle: str
    display_name: str
    bio: str
    image_url: str | None


class Accounts:
    def __init__(
        self,
        relational: RelationalStore,
        invalidation: Invalidation,
        write_through: WriteThrough,
        hasher: Hasher,
        kit: Kit,
    ) -> None:
        self._relational = relational
        self._invalidation = invalidation
        self._write_through = write_through
        self._hasher = hasher
        self._clock = kit.clock
        self._ids = kit.ids
        self._pack = kit.emitter
        self._retry = kit.retry

    def register(self, wanted: Registration, reserved: ReservedId | None = None) -> Account:
        """Register an account, or return the one stored under the `reserved` id.

        Raises `RuleBroken` (`handle_taken`, `email_taken`), and `Unprocessable` for a password easy to guess.
        """
        check(wanted.password, words(wanted.handle, wanted.email, wanted.display_name), "/password")
        account = Account(
            reserved.id if reserved else self._ids(), wanted.handle, wanted.display_name, "", None, self._clock(), 1
        )
        login = Login(account.id, wanted.email, self._hasher.hash(wanted.password))
        try:
            with self._invalidation.after(self._invalidation.account(account.id, [account.handle])):
                self._retry(lambda: self._add(account, login))
        except Conflict as conflict:
            if reserved and (known := self._relational.accounts.get([reserved.id]).get(reserved.id)):
                return known
            raise taken(conflict) from conflict
        return account

    def edit(self, account_id: UUID, changes: ProfileChanges, condition: Precondition) -> Account:
        """Change the profile. Raises `Missing`, `PreconditionRequired`, `PreconditionFailed`, `RuleBroken` with code
        `handle_taken`.
        """
        current = self.own(account_id)
        condition.check(current.version)
        if not changes:
            return current
        changed = replace(current, **changes, version=current.version + 1)
        renamed = {current.handle, changed.handle} if changed.handle != current.handle else ()
        try:
            self._write_through.account(
                account_id, lambda: self._retry(lambda: self._replace(current, changed)), renamed
            )
        except Stale as stale:
            raise PreconditionFailed("the account has changed meanwhile") from stale
        except Conflict as conflict:
            raise taken(conflict) from conflict
        return changed

    def _add(self, account: Account, login: Login) -> None:
        with self._relational.transaction() as tx:
            tx.accounts.add(account, login)
            tx.accounts.claim(account.handle, account.id, at=account.created_at)

    def _replace(self, current: Account, changed: Account) -> Account:
        event = AccountEdited(current.id, (current.handle, changed.handle))
        with self._relational.transaction() as tx:
            tx.accounts.replace(changed, if_version=current.version)
            if name_of(changed.handle) != name_of(current.handle):
                now = self._clock()
                tx.accounts.claim(changed.handle, current.id, at=now)
                tx.accounts.reserve(current.handle, current.id, until=now + RESERVED)
            tx.emit(self._pack(event))
        return changed

    def own(self, account_id: UUID) -> Account:
        found = self._relational.accounts.get([account_id]).get(account_id)
        if found is None:
            raise Missing("there is no such account")
        return found

    def login(self, account_id: UUID) -> Login:
        """The login, with the account's e-mail address, which only its owner is shown. Raises `Missing`."""
        login = self._relational.accounts.login_of(account_id)
        if login is None:
            raise Missing("there is no such account")
        return login

    def by_handle(self, handle: str) -> Account:
        """The account with this handle, from the truth; pages use `Handles`. Raises `Missing`."""
        found = self._relational.accounts.by_handle(handle)
        if found is None:
            raise Missing("there is no account with this handle")
        return found


def taken(conflict: Conflict) -> RuleBroken:
    if conflict.field == "handle":
        return RuleBroken("this handle is taken", code="handle_taken")
    if conflict.field == "email":
        return RuleBroken("this e-mail address is taken", code="email_taken")
    return RuleBroken(f"this {conflict.field} is taken")
