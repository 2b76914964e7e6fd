"""Mailed tokens as rows. The login is locked before its tokens, as in changes of an address or a password."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, delete, select

from repositories.errors import Stale
from repositories.records.people import Login
from repositories.relational.mail_tokens_port import MailTokenReads, MailTokenWrites, Purpose
from repositories.relational.schema.columns import LIMIT, TIME
from repositories.relational.schema.functions import one_of
from repositories.relational.schema.tables import logins, mail_tokens
from repositories.relational.statement_runner import RunnerBacked
from repositories.relational.upserts import insert

_live = (
    mail_tokens.c.digest == bindparam("its_digest"),
    mail_tokens.c.purpose == bindparam("its_purpose"),
    mail_tokens.c.expires_at > bindparam("now", type_=TIME),
)
_OWNER = select(mail_tokens.c.account_id).where(*_live)
_LOCK = (
    select(logins.c.account_id)
    .where(
        logins.c.account_id == bindparam("its_id"),
        logins.c.email == bindparam("its_email"),
        logins.c.password_hash == bindparam("its_hash"),
    )
    .with_for_update()
)
_LOCK_OWNER = (
    select(logins.c.account_id)
    .join(mail_tokens, mail_tokens.c.account_id == logins.c.account_id)
    .where(*_live)
    .with_for_update(of=logins)
)
_TAKE = delete(mail_tokens).where(*_live).returning(mail_tokens.c.account_id)
_new = insert(mail_tokens)
_PUT = _new.on_conflict_do_update(
    index_elements=[mail_tokens.c.account_id, mail_tokens.c.purpose],
    set_={name: _new.excluded[name] for name in ("digest", "expires_at")},
)
_expired = select(mail_tokens.c.digest).where(mail_tokens.c.expires_at <= bindparam("before", type_=TIME))
_SWEEP = delete(mail_tokens).where(
    one_of(mail_tokens.c.digest, _expired.order_by(mail_tokens.c.expires_at).limit(LIMIT).scalar_subquery())
)


class SqlMailTokenReads(RunnerBacked, MailTokenReads):
    def owner(self, digest: bytes, purpose: Purpose, *, now: datetime) -> UUID | None:
        rows = self._runner.rows(_OWNER, {"its_digest": digest, "its_purpose": purpose, "now": now})
        return rows[0].account_id if rows else None


class SqlMailTokenWrites(RunnerBacked, MailTokenWrites):
    def put(self, login: Login, purpose: Purpose, digest: bytes, *, expires_at: datetime) -> None:
        its = {"its_id": login.account_id, "its_email": login.email, "its_hash": login.password_hash}
        if not self._runner.rows(_LOCK, its):
            raise Stale
        row = {"account_id": login.account_id, "purpose": purpose, "digest": digest, "expires_at": expires_at}
        self._runner.change(_PUT, row)

    def take(self, digest: bytes, purpose: Purpose, *, now: datetime) -> UUID | None:
        values = {"its_digest": digest, "its_purpose": purpose, "now": now}
        rows = self._runner.rows(_LOCK_OWNER, values) and self._runner.rows(_TAKE, values)
        return rows[0].account_id if rows else None

    def sweep(self, *, before: datetime, limit: int) -> int:
        return self._runner.change(_SWEEP, {"before": before, "limit": limit})
