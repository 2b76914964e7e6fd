"""Accounts and their logins."""

import string
from collections.abc import Collection
from typing import Any, NoReturn
from uuid import UUID

from sqlalchemy import bindparam, insert, select, update

from repositories.errors import NotFound, Stale
from repositories.records import Account, Login
from repositories.relational.feeds.feed_activity import feed_activity_row
from repositories.relational.port import AccountReads, AccountWrites
from repositories.relational.runner import RunnerBacked
from repositories.relational.schema.columns import ID, IDS, LIMIT, among
from repositories.relational.schema.feeds_tables import feed_activity
from repositories.relational.schema.tables import account_counters, accounts, logins

_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)

_ACCOUNT = select(*(accounts.c[name] for name in Account.__struct_fields__))
_GET = _ACCOUNT.where(among(accounts.c.id, bindparam("ids", type_=IDS)))
_BY_HANDLE = _ACCOUNT.where(accounts.c.handle_key == bindparam("key"))
_LOGIN = select(*(logins.c[name] for name in Login.__struct_fields__))
_LOGIN_OF = _LOGIN.where(logins.c.account_id == bindparam("id"))
_LOGIN_BY_EMAIL = _LOGIN.where(logins.c.email_key == bindparam("key"))
_LOGIN_BY_HANDLE = _LOGIN.join(accounts, accounts.c.id == logins.c.account_id).where(
    accounts.c.handle_key == bindparam("key")
)
_IDS = select(accounts.c.id).order_by(accounts.c.id).limit(LIMIT)
_IDS_AFTER = _IDS.where(accounts.c.id > bindparam("after", type_=ID))
_EXISTS = select(accounts.c.id).where(accounts.c.id == bindparam("id"))
_REPLACE = (
    update(accounts)
    .where(accounts.c.id == bindparam("its_id"), accounts.c.version == bindparam("if_version"))
    .values({column.name: bindparam(column.name) for column in accounts.c if column.name != "id"})
)
_SET_PASSWORD = (
    update(logins)
    .where(logins.c.account_id == bindparam("its_id"), logins.c.password_hash == bindparam("if_hash"))
    .values(password_hash=bindparam("password_hash"))
)


def fold(text: str) -> str:
    """Lower-case ASCII letters only: the same on every engine and in every locale."""
    return text.translate(_LOWER)


def account_row(account: Account) -> dict[str, Any]:
    row = {name: getattr(account, name) for name in account.__struct_fields__}
    return row | {"handle_key": fold(account.handle)}


def login_row(login: Login) -> dict[str, Any]:
    row = {name: getattr(login, name) for name in login.__struct_fields__}
    return row | {"email_key": fold(login.email)}


class SqlAccountReads(RunnerBacked, AccountReads):
    def get(self, ids: Collection[UUID]) -> dict[UUID, Account]:
        if not ids:
            return {}
        found = (Account(*row) for row in self._runner.rows(_GET, {"ids": list(ids)}))
        return {account.id: account for account in found}

    def by_handle(self, handle: str) -> Account | None:
        rows = self._runner.rows(_BY_HANDLE, {"key": fold(handle)})
        return Account(*rows[0]) if rows else None

    def login(self, name: str) -> Login | None:
        rows = self._runner.rows(_LOGIN_BY_EMAIL if "@" in name else _LOGIN_BY_HANDLE, {"key": fold(name)})
        return Login(*rows[0]) if rows else None

    def login_of(self, account_id: UUID) -> Login | None:
        rows = self._runner.rows(_LOGIN_OF, {"id": account_id})
        return Login(*rows[0]) if rows else None

    def ids(self, *, after: UUID | None, limit: int) -> list[UUID]:
        if after is None:
            return [one for (one,) in self._runner.rows(_IDS, {"limit": limit})]
        return [one for (one,) in self._runner.rows(_IDS_AFTER, {"limit": limit, "after": after})]


class SqlAccountWrites(RunnerBacked, AccountWrites):
    def add(self, account: Account, login: Login) -> None:
        self._runner.change(insert(accounts), account_row(account))
        self._runner.change(insert(logins), login_row(login))
        self._runner.change(insert(account_counters), {"account_id": account.id, "followers": 0, "following": 0})
        self._runner.change(insert(feed_activity), feed_activity_row(account.id, account.created_at))

    def replace(self, account: Account, *, if_version: int) -> None:
        row = account_row(account)
        if self._runner.change(_REPLACE, row | {"its_id": row.pop("id"), "if_version": if_version}):
            return
        self._refuse(account.id)

    def set_password(self, account_id: UUID, password_hash: str, *, if_hash: str) -> None:
        values = {"its_id": account_id, "password_hash": password_hash, "if_hash": if_hash}
        if not self._runner.change(_SET_PASSWORD, values):
            self._refuse(account_id)

    def _refuse(self, account_id: UUID) -> NoReturn:
        """Whether it has changed meanwhile, or is not there."""
        if self._runner.rows(_EXISTS, {"id": account_id}):
            raise Stale
        raise NotFound
