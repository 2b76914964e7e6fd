"""create the first tables"""

import sqlalchemy as sa
from alembic import op

from repositories.relational.schema.columns import ID, SERIAL, TEXT, TIME

revision = "0001"
down_revision: str | None = None

_WAITING = sa.text("parked_at IS NULL")
_PARKED = sa.text("parked_at IS NOT NULL")


def upgrade() -> None:
    _accounts()
    _graph()
    _likes_and_stock()
    _outbox()


def downgrade() -> None:
    """Children before parents."""
    for table in ("outbox", "stock", "post_counters", "likes", "blocks", "follows"):
        op.drop_table(table)
    for table in ("account_counters", "logins", "accounts"):
        op.drop_table(table)


def _accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", ID, primary_key=True),
        sa.Column("handle", TEXT, nullable=False),
        sa.Column("handle_key", TEXT, nullable=False),
        sa.Column("display_name", TEXT, nullable=False),
        sa.Column("bio", TEXT, nullable=False),
        sa.Column("image_url", TEXT),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("handle_key", name="accounts_handle_key"),
    )
    op.create_table(
        "logins",
        sa.Column("account_id", ID, sa.ForeignKey("accounts.id"), primary_key=True),
        sa.Column("email", TEXT, nullable=False),
        sa.Column("email_key", TEXT, nullable=False),
        sa.Column("password_hash", TEXT, nullable=False),
        sa.UniqueConstraint("email_key", name="logins_email_key"),
    )
    op.create_table(
        "account_counters",
        sa.Column("account_id", ID, sa.ForeignKey("accounts.id"), primary_key=True),
        sa.Column("followers", sa.BigInteger, sa.CheckConstraint("followers >= 0"), nullable=False),
        sa.Column("following", sa.BigInteger, sa.CheckConstraint("following >= 0"), nullable=False),
    )


def _graph() -> None:
    op.create_table(
        "follows",
        sa.Column("follower", ID, sa.ForeignKey("accounts.id"), primary_key=True),
        sa.Column("followee", ID, sa.ForeignKey("accounts.id"), primary_key=True),
        sa.Column("since", TIME, nullable=False),
        sa.Column("filled", sa.Boolean, nullable=False),
    )
    op.create_index("follows_following", "follows", ["follower", "since", "followee"])
    op.create_index("follows_followers", "follows", ["followee", "since", "follower"])
    op.create_index("follows_follower_ids", "follows", ["followee", "follower"])
    op.create_table(
        "blocks",
        sa.Column("blocker", ID, sa.ForeignKey("accounts.id"), primary_key=True),
        sa.Column("blocked", ID, sa.ForeignKey("accounts.id"), primary_key=True),
        sa.Column("at", TIME, nullable=False),
    )
    op.create_index("blocks_blocked", "blocks", ["blocked", "blocker"])


def _likes_and_stock() -> None:
    op.create_table(
        "likes",
        sa.Column("account_id", ID, sa.ForeignKey("accounts.id"), primary_key=True),
        sa.Column("post_id", ID, primary_key=True),
        sa.Column("at", TIME, nullable=False),
    )
    op.create_index("likes_post", "likes", ["post_id"])
    op.create_table(
        "post_counters",
        sa.Column("post_id", ID, primary_key=True),
        sa.Column("likes", sa.BigInteger, sa.CheckConstraint("likes >= 0"), nullable=False),
    )
    op.create_table(
        "stock",
        sa.Column("product_id", ID, primary_key=True),
        sa.Column("on_hand", sa.BigInteger, sa.CheckConstraint("on_hand >= 0"), nullable=False),
    )


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("position", SERIAL, primary_key=True, autoincrement=True),
        sa.Column("id", ID, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("aggregate", TEXT, nullable=False),
        sa.Column("happened_at", TIME, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("due_at", TIME, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("lease", ID),
        sa.Column("lease_until", TIME),
        sa.Column("parked_at", TIME),
        sa.Column("reason", TEXT),
        sa.UniqueConstraint("id", name="outbox_id"),
        sqlite_autoincrement=True,
    )
    _partial_index("outbox_due", ["due_at", "position"], _WAITING)
    _partial_index("outbox_heads", ["aggregate", "position"], _WAITING)
    _partial_index("outbox_waiting", ["happened_at"], _WAITING)
    _partial_index("outbox_parked", ["parked_at", "position"], _PARKED)


def _partial_index(name: str, columns: list[str], where: sa.TextClause) -> None:
    op.create_index(name, "outbox", columns, postgresql_where=where, sqlite_where=where)
