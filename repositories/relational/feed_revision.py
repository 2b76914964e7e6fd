"""The statement that increments `ReaderState.revision` when what a reader's feed shows has changed."""

from sqlalchemy import bindparam, update

from repositories.relational.schema.columns import ID
from repositories.relational.schema.tables import account_counters

REVISE = (
    update(account_counters)
    .where(account_counters.c.account_id == bindparam("its_account", type_=ID))
    .values(revision=account_counters.c.revision + 1)
)
