#!/usr/bin/env bash
# Expected: With a `version_id_col`, an edit that was made from an old version raises StaleDataError if the version that the
# client sends back is set on the row: `page.version = body["version"]`, then the commit.
# Observed: The edit is stored. The commit compares the version that was loaded a moment before, which is right, and
# stores the client's number as the new version, so the version goes back from 3 to 1. A client that read the real version 1
# then has a version that matches, although two edits and this one came after it, and the numbers 2 and 3 are given again to
# other contents. That a version may be set is intended (SQLAlchemy issue 1857 asked for larger ones), but a smaller one is
# taken too, without a warning. `session.merge` of an object with the client's version raises. Otherwise compare the client's
# version in Python with the loaded one.
source "$(dirname "$0")/start.sh"
install sqlalchemy==2.1.9
python - <<'PYTHON'
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.orm.exc import StaleDataError


class Base(DeclarativeBase):
    pass


class Page(Base):
    __tablename__ = "pages"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    version: Mapped[int] = mapped_column()
    __mapper_args__ = {"version_id_col": version}


print("SQLAlchemy", sa.__version__)
engine = sa.create_engine("sqlite://")


def after(edit):
    """What the commit of an edit of version 1 raised, after others had made it version 3, and the row that is stored."""
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(page := Page(id=1, title="first"))
        session.commit()
        for title in ("second", "third"):
            page.title = title
            session.commit()
    raised = None
    with Session(engine) as session:
        try:
            edit(session)
            session.commit()
        except StaleDataError as error:
            raised = type(error).__name__
    with Session(engine) as session:
        page = session.get(Page, 1)
        return raised, (page.title, page.version)


def set_version(session):
    page = session.get(Page, 1)
    page.title, page.version = "made from the first", 1


def merge(session):
    session.merge(Page(id=1, title="made from the first", version=1))


by_setting, by_merging = after(set_version), after(merge)
print("page.version = 1:", "raised", by_setting[0], "- stored", by_setting[1])
print("session.merge:   ", "raised", by_merging[0], "- stored", by_merging[1])
assert by_setting == (None, ("made from the first", 1)), "the behaviour has changed"
assert by_merging == ("StaleDataError", ("third", 3)), "the behaviour has changed"
PYTHON
