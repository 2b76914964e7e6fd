#!/usr/bin/env bash
# Expected: A DateTime column with server_default=func.now() can be paged newest first by the time of the last row:
# `where(made < last.made)`, or `tuple_(made, id) < (last.made, last.id)`. So it is on PostgreSQL.
# Observed: On SQLite the first page comes again and again. CURRENT_TIMESTAMP stores "2026-11-29 12:00:00", but
# SQLAlchemy sends "2026-11-29 12:00:00.000000" for the same time, and texts are compared: a row is earlier than the time
# that was just read from it, and `made == last.made` finds no row. Rows whose time came from Python are not concerned,
# so a table with both, or with func.now() in an UPDATE only, pages wrongly at some rows. (Described in langflow's pull
# request 14010.) A server_default of text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))") has SQLAlchemy's form.
source "$(dirname "$0")/start.sh"
install sqlalchemy==2.1.9
python - <<'PYTHON'
import sqlite3
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

LIKE_SQLALCHEMY = sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))")
print("SQLAlchemy", sa.__version__, "- SQLite", sqlite3.sqlite_version)


def pages(default):
    """The ids on the first three pages of two rows of five, newest first, and how many rows have the last one's time."""

    class Base(DeclarativeBase):
        pass

    class Note(Base):
        __tablename__ = "notes"
        id: Mapped[int] = mapped_column(primary_key=True)
        made: Mapped[datetime] = mapped_column(server_default=default)

    engine = sa.create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(Note() for _ in range(5))
        session.commit()
        place = sa.tuple_(Note.made, Note.id)
        newest, found = sa.select(Note).order_by(Note.made.desc(), Note.id.desc()).limit(2), []
        page = session.scalars(newest).all()
        while page and len(found) < 3:
            found.append([note.id for note in page])
            last = page[-1]
            page = session.scalars(newest.where(place < sa.tuple_(last.made, last.id))).all()
        same = session.scalar(sa.select(sa.func.count()).where(Note.made == last.made))
    return found, same


by_default, explicit = pages(sa.func.now()), pages(LIKE_SQLALCHEMY)
print("server_default=func.now():", by_default[0], "- rows with the time of the last one:", by_default[1])
print("in SQLAlchemy's form:     ", explicit[0], "- rows with the time of the last one:", explicit[1])
assert by_default == ([[5, 4]] * 3, 0), "the behaviour has changed"
assert explicit[0] == [[5, 4], [3, 2], [1]] and explicit[1], "the behaviour has changed"
PYTHON
