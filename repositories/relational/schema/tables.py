"""The tables, the same on PostgreSQL and SQLite. A change here needs a migration; a test compares them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    UniqueConstraint,
    false,
)

from repositories.relational.schema.columns import ID, SERIAL, TEXT, TIME, partial_index

metadata = MetaData()

RESERVED = "reserved >= 0 AND reserved <= on_hand"
# SQLite turns an integer overflow into a floating-point number; the check refuses it.
RECEIVED = "received BETWEEN 0 AND 9223372036854775807"

accounts = Table(
    "accounts",
    metadata,
    Column("id", ID, primary_key=True),
    Column("handle", TEXT, nullable=False),
    Column("handle_key", TEXT, nullable=False),
    Column("display_name", TEXT, nullable=False),
    Column("bio", TEXT, nullable=False),
    Column("image_url", TEXT),
    Column("created_at", TIME, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("deleted_at", TIME),
    UniqueConstraint("handle_key", name="accounts_handle_key"),
)
partial_index("accounts_deleted", accounts.c.id, where=accounts.c.deleted_at.is_not(None))

# Handles that were given up, each reserved for the account that gave it up.
handle_reservations = Table(
    "handle_reservations",
    metadata,
    Column("handle_key", TEXT, primary_key=True),
    Column("account_id", ID, ForeignKey("accounts.id"), nullable=False),
    Column("until", TIME, nullable=False),
    Index("handle_reservations_until", "until"),
)

logins = Table(
    "logins",
    metadata,
    Column("account_id", ID, ForeignKey("accounts.id"), primary_key=True),
    Column("email", TEXT, nullable=False),
    Column("email_key", TEXT, nullable=False),
    Column("password_hash", TEXT, nullable=False),
    Column("verified_at", TIME),
    UniqueConstraint("email_key", name="logins_email_key"),
)

# Digests of mailed tokens: the last one for each account and purpose.
mail_tokens = Table(
    "mail_tokens",
    metadata,
    Column("account_id", ID, ForeignKey("accounts.id"), primary_key=True),
    Column("purpose", TEXT, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("expires_at", TIME, nullable=False),
    UniqueConstraint("digest", name="mail_tokens_digest"),
    Index("mail_tokens_expires_at", "expires_at"),
)

# Ended sessions, also of deleted accounts.
endings = Table(
    "endings",
    metadata,
    Column("id", ID, primary_key=True),
    Column("account_id", ID, nullable=False),
    Column("session_id", ID),
    Column("kept_id", ID),
    Column("ended_at", TIME, nullable=False),
    Column("noted_at", TIME, nullable=False),
    Column("over_at", TIME, nullable=False),
    Index("endings_noted_at", "noted_at", "id"),
    Index("endings_over_at", "over_at"),
)

# One row per account. It is locked by every transaction that changes the account's edges.
account_counters = Table(
    "account_counters",
    metadata,
    Column("account_id", ID, ForeignKey("accounts.id"), primary_key=True),
    Column("followers", BigInteger, CheckConstraint("followers >= 0"), nullable=False),
    Column("following", BigInteger, CheckConstraint("following >= 0"), nullable=False),
    # Counts the changes of the account's follows and likes.
    Column("revision", BigInteger, nullable=False, server_default="0"),
)

follows = Table(
    "follows",
    metadata,
    Column("follower", ID, ForeignKey("accounts.id"), primary_key=True),
    Column("followee", ID, ForeignKey("accounts.id"), primary_key=True),
    Column("since", TIME, nullable=False),
    Column("filled", Boolean, nullable=False),
    Index("follows_following", "follower", "since", "followee"),
    Index("follows_followers", "followee", "since", "follower"),
    Index("follows_follower_ids", "followee", "follower"),
)
_unfilled = ~follows.c.filled
partial_index("follows_pending", follows.c.follower, follows.c.followee, where=_unfilled)

blocks = Table(
    "blocks",
    metadata,
    Column("blocker", ID, ForeignKey("accounts.id"), primary_key=True),
    Column("blocked", ID, ForeignKey("accounts.id"), primary_key=True),
    Column("at", TIME, nullable=False),
    Index("blocks_blocked", "blocked", "blocker"),
    Index("blocks_blocker", "blocker", "at", "blocked"),
)

likes = Table(
    "likes",
    metadata,
    Column("account_id", ID, ForeignKey("accounts.id"), primary_key=True),
    Column("post_id", ID, primary_key=True),
    Column("at", TIME, nullable=False),
    Index("likes_post", "post_id"),
)

post_counters = Table(
    "post_counters",
    metadata,
    Column("post_id", ID, primary_key=True),
    Column("likes", BigInteger, CheckConstraint("likes >= 0"), nullable=False),
)

stock = Table(
    "stock",
    metadata,
    Column("product_id", ID, primary_key=True),
    Column("on_hand", BigInteger, CheckConstraint("on_hand >= 0"), nullable=False),
    Column("reserved", BigInteger, CheckConstraint(RESERVED), nullable=False, server_default="0"),
    Column("sold", BigInteger, CheckConstraint("sold >= 0"), nullable=False, server_default="0"),
    # Units put in stock minus units removed unsold. The audit checks received = on_hand + sold.
    Column("received", BigInteger, CheckConstraint(RECEIVED), nullable=False, server_default="0"),
    Column("version", BigInteger, nullable=False, server_default="1"),
)

# Positions are unique, and order the events of one aggregate. In PostgreSQL they are made of the time.
outbox = Table(
    "outbox",
    metadata,
    Column("position", SERIAL, primary_key=True, autoincrement=True, info={"numbered_by": "time"}),
    Column("id", ID, nullable=False),
    Column("type", TEXT, nullable=False),
    Column("aggregate", TEXT, nullable=False),
    Column("happened_at", TIME, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("traceparent", TEXT, nullable=False, server_default=""),
    Column("due_at", TIME, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("lease", ID),
    Column("lease_until", TIME),
    Column("dead_lettered_at", TIME),
    Column("reason", TEXT),
    UniqueConstraint("id", name="outbox_id"),
    sqlite_autoincrement=True,
)
_waiting, _dead = outbox.c.dead_lettered_at.is_(None), outbox.c.dead_lettered_at.is_not(None)
partial_index("outbox_due", outbox.c.due_at, outbox.c.position, where=_waiting)
partial_index("outbox_heads", outbox.c.aggregate, outbox.c.position, where=_waiting)
partial_index("outbox_waiting", outbox.c.happened_at, where=_waiting)
partial_index("outbox_dead_lettered", outbox.c.dead_lettered_at, outbox.c.position, where=_dead)

# Events for the sinks, in the order in which each sink sends them. Positions come from a row of `log_heads` that stays
# locked until the commit, so a reader that sees a position sees all lower ones. In PostgreSQL this is the column's
# default.
event_log = Table(
    "event_log",
    metadata,
    Column("position", SERIAL, primary_key=True, autoincrement=True, info={"numbered_by": "log_heads"}),
    Column("id", ID, nullable=False),
    Column("type", TEXT, nullable=False),
    Column("aggregate", TEXT, nullable=False),
    Column("happened_at", TIME, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("traceparent", TEXT, nullable=False),
    Column("logged_at", TIME, nullable=False),
    # The envelope without its position, and the code that made it. Other code that sends it makes it anew.
    Column("envelope", LargeBinary),
    Column("made_by", TEXT),
    UniqueConstraint("id", name="event_log_id"),
    Index("event_log_logged_at", "logged_at", "position"),
    sqlite_autoincrement=True,
)

log_heads = Table(
    "log_heads",
    metadata,
    Column("log", TEXT, primary_key=True),
    Column("position", BigInteger, nullable=False),
)

# Each sink's position in the log, and its lease.
sinks = Table(
    "sinks",
    metadata,
    Column("name", TEXT, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("due_at", TIME, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("reason", TEXT),
    Column("lease", ID),
    Column("lease_until", TIME),
    Column("tried_since", TIME),
    Column("failing_since", TIME),
    Column("disabled_at", TIME),
)

# Receivers of webhooks. Each is a sink, too.
webhooks = Table(
    "webhooks",
    metadata,
    Column("id", ID, primary_key=True),
    Column("url", TEXT, nullable=False),
    Column("types", TEXT, nullable=False),
    Column("secret", TEXT, nullable=False),
    Column("former_secret", TEXT),
    Column("former_until", TIME),
    Column("created_at", TIME, nullable=False),
    Column("revision", Integer, nullable=False),
)

# Events that a sink refuses.
sink_dead_letters = Table(
    "sink_dead_letters",
    metadata,
    Column("sink", TEXT, primary_key=True),
    Column("position", BigInteger, primary_key=True),
    Column("reason", TEXT, nullable=False),
    Column("dead_lettered_at", TIME, nullable=False),
    Column("again", Boolean, nullable=False, server_default=false()),
    Index("sink_dead_letters_position", "position"),
)

deferred = Table(
    "deferred",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("token", ID, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("at", TIME, nullable=False),
    Index("deferred_at", "at"),
    Index("deferred_token", "token"),
)

# Hourly samples of what has a limit.
levels = Table(
    "levels",
    metadata,
    Column("at", TIME, primary_key=True),
    Column("level", TEXT, primary_key=True),
    Column("value", BigInteger, nullable=False),
    Column("most", BigInteger),
)

# Deposits and payouts whose outcome the payment provider has not reported yet. Not part of the ledger: the deletion of
# an account looks here.
open_payments = Table(
    "open_payments",
    metadata,
    Column("owner", ID, primary_key=True),
    Column("reference", ID, primary_key=True),
    Column("since", TIME, nullable=False),
)

# What the sandbox payment provider was asked for, as an external provider would keep it. Not part of the ledger.
sandbox_payments = Table(
    "sandbox_payments",
    metadata,
    Column("reference", ID, primary_key=True),
    Column("kind", TEXT, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", TEXT, nullable=False),
    Column("state", TEXT, nullable=False),
    Column("at", TIME, nullable=False),
    Index("sandbox_payments_at", "at", "reference"),
)
