"""The statements for feeds, in SQL that both SQLite and PostgreSQL accept.

Every row has the time of its newest write (`written`) and of its newest removal (`removed`), in microseconds since
1970, like the timestamp of a cell in Cassandra. An entry shows while `written > removed`. `NEVER` means no such time.
"""

from msgspec import Struct

NEVER = -(1 << 63)


class Upsert(Struct, frozen=True):
    """Writes rows. The first `keys` columns are the key; an existing row takes the new values as `merge` says."""

    table: str
    keys: int
    columns: tuple[str, ...]
    merge: str

    def text(self, source: str) -> str:
        """The statement; `source` is the clause that gives the rows."""
        columns, key = ", ".join(self.columns), ", ".join(self.columns[: self.keys])
        return f"INSERT INTO {self.table} ({columns}) {source} ON CONFLICT ({key}) DO UPDATE SET {self.merge}"

    @property
    def by_values(self) -> str:
        return self.text(f"VALUES ({', '.join('?' * len(self.columns))})")


def _later(table: str, *columns: str) -> str:
    """Sets columns to the greater of old and new value. The engines' own functions for that have different names."""
    return ", ".join(
        f"{c} = CASE WHEN excluded.{c} > {table}.{c} THEN excluded.{c} ELSE {table}.{c} END" for c in columns
    )


def _of_the_later_write(table: str, *columns: str) -> str:
    condition = f"excluded.written > {table}.written"
    return ", ".join(f"{c} = CASE WHEN {condition} THEN excluded.{c} ELSE {table}.{c} END" for c in columns)


_AUTHOR = "author", "post", "written", "removed"
AUTHOR_ADD = Upsert("feeds_author", 2, _AUTHOR, _later("feeds_author", "written", "removed"))
AUTHOR_PAGE = """SELECT post, author FROM feeds_author
WHERE author = :key AND post > :low AND post < :high AND written > removed ORDER BY post"""
AUTHOR_SCAN = """SELECT post, author, written FROM feeds_author WHERE author = :key AND post > :low AND post < :high
AND written > removed ORDER BY post DESC LIMIT :limit"""
AUTHOR_RESTORE = Upsert("feeds_author", 2, _AUTHOR, _later("feeds_author", "written"))
AUTHOR_REMOVE = "UPDATE feeds_author SET removed = :at WHERE author = :key AND post = :post AND removed < :at"

_HOME = "owner", "post", "author", "written", "removed"
HOME_ADD = Upsert("feeds_home", 2, _HOME, _later("feeds_home", "written", "removed"))
_HOME_SHOWN = """FROM feeds_home WHERE owner = :key AND post > :low AND post < :high AND written > removed
AND written > coalesce((SELECT at FROM feeds_trimmed WHERE owner = :key), :never)"""
HOME_PAGE = f"SELECT post, author {_HOME_SHOWN} ORDER BY post"
HOME_BY_AUTHOR = f"SELECT post {_HOME_SHOWN} AND author = :author AND written <= :at ORDER BY post DESC"
HOME_SCAN = f"SELECT post, author, written {_HOME_SHOWN} ORDER BY post DESC LIMIT :limit"
HOME_RESTORE = Upsert(
    "feeds_home", 2, _HOME, f"{_of_the_later_write('feeds_home', 'author')}, {_later('feeds_home', 'written')}"
)
HOME_REMOVE = "UPDATE feeds_home SET removed = :at WHERE owner = :key AND post = :post AND removed < :at"
HOME_TRIM = Upsert("feeds_trimmed", 1, ("owner", "at"), _later("feeds_trimmed", "at")).by_values
HOME_DROP = "DELETE FROM feeds_home WHERE owner = :owner AND post > :low AND written <= :at AND removed <= :at"

NOTIFICATION_ADD = Upsert(
    "feeds_notifications",
    2,
    ("owner", "id", "kind", "subject", "actor", "at_us", "number", "detail", "noted", "written", "removed"),
    "noted = coalesce(feeds_notifications.noted, excluded.noted), "
    + _of_the_later_write("feeds_notifications", "at_us", "detail")
    + ", "
    + _later("feeds_notifications", "written", "removed"),
)
# For notifications from another place, which has already decided which `noted` is the first.
MOVED_NOTIFICATION = Upsert(
    NOTIFICATION_ADD.table,
    NOTIFICATION_ADD.keys,
    NOTIFICATION_ADD.columns,
    _of_the_later_write("feeds_notifications", "at_us", "detail", "noted")
    + ", "
    + _later("feeds_notifications", "written", "removed"),
)
NOTIFICATION_REMOVE = "UPDATE feeds_notifications SET removed = :at WHERE owner = :key AND id = :post AND removed < :at"
# Uses the index on `noted` first: in the order of ids, many rows may come before the first match.
NOTIFICATION_LOWEST = """WITH later AS MATERIALIZED
(SELECT id FROM feeds_notifications WHERE owner = ? AND noted > ?) SELECT id FROM later ORDER BY id LIMIT 1"""
NOTIFICATION_PAGE = """SELECT id, kind, subject, actor, at_us, number, detail, noted FROM feeds_notifications
WHERE owner = :key AND id > :low AND id < :high AND written > removed ORDER BY id DESC LIMIT :limit"""
READ_MARKER = "SELECT id FROM feeds_read WHERE owner = ?"
READ_MARK = Upsert("feeds_read", 1, ("owner", "id"), _later("feeds_read", "id")).by_values
