"""Tables of the transactional part of the feeds: feed activity, pulled authors and fan-outs. No timelines."""

from sqlalchemy import BigInteger, CheckConstraint, Column, ColumnElement, ForeignKey, Integer, Table, literal_column

from repositories.relational.schema.columns import ID, TEXT, TIME, partial_index
from repositories.relational.schema.tables import metadata

feed_activity = Table(
    "feed_activity",
    metadata,
    Column("account_id", ID, ForeignKey("accounts.id"), primary_key=True),
    Column("state", TEXT, CheckConstraint("state IN ('awake', 'waking', 'dormant')"), nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("seen_at", TIME, nullable=False),
    Column("low_watermark", ID),
)

pulled_authors = Table(
    "pulled_authors",
    metadata,
    Column("author_id", ID, primary_key=True),
    Column("state", TEXT, CheckConstraint("state IN ('pulled', 'returning')"), nullable=False),
    Column("reason", TEXT, CheckConstraint("reason IN ('threshold', 'shed')"), nullable=False),
    Column("changed_at", TIME, nullable=False),
)

# Only the sums over all rows matter. There are several rows, so that publishing authors rarely wait for each other.
SHARDS = 16
feed_signals = Table(
    "feed_signals",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("published", BigInteger, nullable=False),
    Column("lost", BigInteger, nullable=False),
)

fanouts = Table(
    "fanouts",
    metadata,
    Column("post_id", ID, primary_key=True),
    Column("author_id", ID, nullable=False),
    Column("published_at", TIME, nullable=False),
    Column("begun_at", TIME, nullable=False),
    Column("state", TEXT, CheckConstraint("state IN ('running', 'done', 'pulled', 'retracting')"), nullable=False),
    Column("stage", TEXT, CheckConstraint("stage IN ('all', 'recent', 'rest')"), nullable=False),
    Column("cursor", ID),
    Column("audience", BigInteger, CheckConstraint("audience >= 0"), nullable=False),
    Column("delivered", BigInteger, CheckConstraint("delivered >= 0"), nullable=False),
    Column("lag_histogram", TEXT, nullable=False),
    Column("finished_at", TIME),
    Column("trace", TEXT, nullable=False),
    # The sweep selects by `finished_at`.
    CheckConstraint("state <> 'done' OR finished_at IS NOT NULL"),
)


def constant(word: str) -> ColumnElement[str]:
    """A literal in the statement: a partial index is not used for the value of a bound parameter."""
    return literal_column(f"'{word}'", TEXT)


AWAKE = feed_activity.c.state == constant("awake")
RUNNING = fanouts.c.state == constant("running")
PULLED = fanouts.c.state == constant("pulled")
DONE = fanouts.c.state == constant("done")

partial_index("feed_activity_awake", feed_activity.c.seen_at, feed_activity.c.account_id, where=AWAKE)
partial_index("fanouts_running", fanouts.c.published_at, where=RUNNING)
partial_index("fanouts_pulled", fanouts.c.author_id, fanouts.c.post_id, where=PULLED)
partial_index("fanouts_done", fanouts.c.finished_at, fanouts.c.post_id, where=DONE)
