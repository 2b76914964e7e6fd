"""Accounts and their logins."""

import string
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any, NoReturn
from uuid import UUID

from sqlalchemy import Executable, bindparam, delete, insert, null, select, update

from repositories.errors import Conflict, NotFound, Stale
from repositories.records.people import Account, Login
from repositories.relational.feeds.feed_activity import feed_activity_row
from repositories.relational.people.graph import LOCK_COUNTERS
from repositories.relational.port import AccountReads, AccountWrites
from repositories.relational.schema.columns import ID, IDS, LIMIT, TEXT, TIME
from repositories.relational.schema.feeds_tables import feed_activity
from repositories.relational.schema.functions import among, one_of
from repositories.relational.schema.tables import account_counters, accounts, handle_reservations, logins, mail_tokens
from repositories.relational.statement_runner import AnyRow, RunnerBacked
from repositories.relational.upserts import insert as upsert
from repositories.relational.work import WorkBacked

_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)

_not_deleted = accounts.c.deleted_at.is_(None)
_ACCOUNT = select(*(accounts.c[name] for name in Account.__struct_fields__)).where(_not_deleted)
_GET = _ACCOUNT.where(among(accounts.c.id, bindparam("ids", type_=IDS)))
_BY_HANDLE = _ACCOUNT.where(accounts.c.handle_key == bindparam("key"))
_LOGIN = select(*(logins.c[name] for name in Login.__struct_fields__))
_LOGIN_OF = _LOGIN.where(logins.c.account_id == bindparam("id"))
_LOGIN_BY_EMAIL = _LOGIN.where(logins.c.email_key == bindparam("key"))
_LOGIN_BY_HANDLE = _LOGIN.join(accounts, accounts.c.id == logins.c.account_id).where(
    accounts.c.handle_key == bindparam("key")
)
_IDS = select(accounts.c.id).where(_not_deleted).order_by(accounts.c.id).limit(LIMIT)
_IDS_AFTER = _IDS.where(accounts.c.id > bindparam("after", type_=ID))
_EXISTS = select(accounts.c.id).where(accounts.c.id == bindparam("id"), _not_deleted)
_ADD, _ADD_LOGIN = insert(accounts), insert(logins)
_ADD_COUNTERS, _ADD_ACTIVITY = insert(account_counters), insert(feed_activity)
_REPLACE = (
    update(accounts)
    .where(accounts.c.id == bindparam("its_id"), accounts.c.version == bindparam("if_version"), _not_deleted)
    .values({column.name: bindparam(column.name) for column in accounts.c if column.name not in {"id", "deleted_at"}})
)
_its_login = (logins.c.account_id == bindparam("its_id"), logins.c.password_hash == bindparam("if_hash"))
_SET_PASSWORD = update(logins).where(*_its_login).values(password_hash=bindparam("new_hash"))
_SET_EMAIL = (
    update(logins)
    .where(*_its_login)
    .values(email=bindparam("new_email"), email_key=bindparam("new_key"), verified_at=null())
)
_END_LOGIN = delete(logins).where(*_its_login)
# `no_handle` is a key that no handle has. The row keeps no personal data.
_ANONYMIZE = (
    update(accounts)
    .where(accounts.c.id == bindparam("its_id"))
    .values(
        handle="",
        handle_key=bindparam("no_handle", type_=TEXT),
        display_name="",
        bio="",
        image_url=null(),
        version=accounts.c.version + 1,
        deleted_at=bindparam("at", type_=TIME),
    )
)
_VERIFY = (
    update(logins).where(logins.c.account_id == bindparam("its_id")).values(verified_at=bindparam("at", type_=TIME))
)
_END_TOKENS = delete(mail_tokens).where(mail_tokens.c.account_id == bindparam("its_id"))
_END_COUNTERS = delete(account_counters).where(account_counters.c.account_id == bindparam("its_id"))
_END_ACTIVITY = delete(feed_activity).where(feed_activity.c.account_id == bindparam("its_id"))
_RESERVE = upsert(handle_reservations)
_RESERVE = _RESERVE.on_conflict_do_update(
    index_elements=[handle_reservations.c.handle_key],
    set_={"account_id": _RESERVE.excluded.account_id, "until": _RESERVE.excluded.until},
)
_RESERVED = select(handle_reservations.c.account_id, handle_reservations.c.until).where(
    handle_reservations.c.handle_key == bindparam("key")
)
_END_RESERVATION = delete(handle_reservations).where(handle_reservations.c.handle_key == bindparam("its_key"))
_ended = select(handle_reservations.c.handle_key).where(handle_reservations.c.until <= bindparam("before", type_=TIME))
_END_RESERVATIONS = delete(handle_reservations).where(
    one_of(
        handle_reservations.c.handle_key,
        _ended.order_by(handle_reservations.c.until).limit(LIMIT).scalar_subquery(),
    )
)


def fold(text: str) -> str:
    """Lower-case ASCII letters only: the same on every engine and in every locale."""
    return text.translate(_LOWER)


def account_row(account: Account) -> dict[str, Any]:
    row = {name: getattr(account, name) for name in account.__struct_fields__}
    return row | {"handle_key": fold(account.handle), "deleted_at": None}


def login_row(login: Login) -> dict[str, Any]:
    row = {name: getattr(login, name) for name in login.__struct_fields__}
    return row | {"email_key": fold(login.email)}


def _first(rows: Sequence[AnyRow]) -> Account | None:
    return Account(*rows[0]) if rows else None


class SqlAccountReads(RunnerBacked, AccountReads):
    def get(self, ids: Collection[UUID]) -> dict[UUID, Account]:
        if not ids:
            return {}
        found = (Account(*row) for row in self._runner.rows(_GET, {"ids": list(ids)}))
        return {account.id: account for account in found}

    def by_handle(self, handle: str) -> Account | None:
        return _first(self._runner.rows(_BY_HANDLE, {"key": fold(handle)}))

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


class SqlAccountWrites(WorkBacked, AccountWrites):
    def begin_by_handle(self, handle: str) -> Callable[[], Account | None]:
        begun = self._work.begin(_BY_HANDLE, {"key": fold(handle)})
        return lambda: _first(begun.rows())

    def add(self, account: Account, login: Login) -> None:
        self._work.change(_ADD, account_row(account))
        self._work.change(_ADD_LOGIN, login_row(login))
        self._work.change(_ADD_COUNTERS, {"account_id": account.id, "followers": 0, "following": 0})
        self._work.change(_ADD_ACTIVITY, feed_activity_row(account.id, account.created_at))

    def replace(self, account: Account, *, if_version: int) -> None:
        row = account_row(account)
        if self._work.change(_REPLACE, row | {"its_id": row.pop("id"), "if_version": if_version}):
            return
        self._refuse(account.id)

    def set_password(self, account_id: UUID, password_hash: str, *, if_hash: str) -> None:
        self._change_login(_SET_PASSWORD, account_id, if_hash, {"new_hash": password_hash})

    def set_email(self, account_id: UUID, email: str, *, if_hash: str) -> None:
        self._change_login(_SET_EMAIL, account_id, if_hash, {"new_email": email, "new_key": fold(email)})

    def verify(self, account_id: UUID, at: datetime) -> None:
        self._work.change(_VERIFY, {"its_id": account_id, "at": at})

    def delete(self, account_id: UUID, *, at: datetime, if_hash: str) -> None:
        if not self._work.rows(LOCK_COUNTERS, {"ids": [account_id]}):
            raise NotFound
        self._change_login(_END_LOGIN, account_id, if_hash, {})
        self._work.change(_ANONYMIZE, {"its_id": account_id, "no_handle": str(account_id), "at": at})
        for statement in (_END_COUNTERS, _END_ACTIVITY):
            self._work.change(statement, {"its_id": account_id})

    def reserve(self, handle: str, account_id: UUID, *, until: datetime) -> None:
        self._work.change(_RESERVE, {"handle_key": fold(handle), "account_id": account_id, "until": until})

    def claim(self, handle: str, account_id: UUID, *, at: datetime) -> None:
        """This transaction holds the handle's unique key, so a reservation is visible by now or cannot be added."""
        key = fold(handle)
        for reserved_for, until in self._work.rows(_RESERVED, {"key": key}):
            if reserved_for != account_id and until > at:
                raise self._work.refused(Conflict("handle"))
            self._work.change(_END_RESERVATION, {"its_key": key})

    def end_reservations(self, *, before: datetime, limit: int) -> int:
        return self._work.change(_END_RESERVATIONS, {"before": before, "limit": limit})

    def _change_login(self, statement: Executable, account_id: UUID, if_hash: str, new: dict[str, str]) -> None:
        """Also delete the mailed tokens: they were issued for the previous login."""
        its = {"its_id": account_id}
        if not self._work.change(statement, its | new | {"if_hash": if_hash}):
            self._refuse(account_id)
        self._work.change(_END_TOKENS, its)

    def _refuse(self, account_id: UUID) -> NoReturn:
        """Raise `Stale` if the account exists, so it has changed meanwhile, else `NotFound`."""
        if self._work.rows(_EXISTS, {"id": account_id}):
            raise Stale
        raise NotFound
