"""Mailed tokens as rows."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert

from repositories.relational.mail_tokens_port import MailTokenReads, MailTokenWrites, Purpose
from repositories.relational.runner import RunnerBacked
from repositories.relational.schema.columns import LIMIT, TIME, one_of
from repositories.relational.schema.tables import mail_tokens

_live = (
    mail_tokens.c.digest == bindparam("its_digest"),
    mail_tokens.c.purpose == bindparam("its_purpose"),
    mail_tokens.c.expires_at > bindparam("now", type_=TIME),
)
_OWNER = select(mail_tokens.c.account_id).where(*_live)
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
    def put(self, account_id: UUID, purpose: Purpose, digest: bytes, *, expires_at: datetime) -> None:
        row = {"account_id": account_id, "purpose": purpose, "digest": digest, "expires_at": expires_at}
        self._runner.change(_PUT, row)

    def take(self, digest: bytes, purpose: Purpose, *, now: datetime) -> UUID | None:
        rows = self._runner.rows(_TAKE, {"its_digest": digest, "its_purpose": purpose, "now": now})
        return rows[0].account_id if rows else None

    def sweep(self, *, before: datetime, limit: int) -> int:
        return self._runner.change(_SWEEP, {"before": before, "limit": limit})
