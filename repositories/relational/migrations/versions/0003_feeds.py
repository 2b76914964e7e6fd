"""create the tables of readers, pulled authors and fan-outs"""

import sqlalchemy as sa
from alembic import op

from repositories.relational.schema.columns import ID, TEXT, TIME

revision = "0003"
down_revision: str | None = "0002"


def upgrade() -> None:
    """Existing accounts start dormant: the next page fills the feed anew and finds its floor."""
    _readers()
    op.execute(
        "INSERT INTO readers (account_id, state, turn, seen_at) SELECT id, 'dormant', 0, created_at FROM accounts"
    )
    _pulled_authors()
    _fanouts()
    # Each engine uses the index only for a condition in the same words.
    op.create_index(
        "follows_pending",
        "follows",
        ["follower", "followee"],
        postgresql_where=sa.text("NOT filled"),
        sqlite_where=sa.text("filled = 0"),
    )


def downgrade() -> None:
    op.drop_index("follows_pending", "follows")
    for table in ("fanouts", "pulled_authors", "readers"):
        op.drop_table(table)


def _readers() -> None:
    op.create_table(
        "readers",
        sa.Column("account_id", ID, sa.ForeignKey("accounts.id"), primary_key=True),
        sa.Column("state", TEXT, sa.CheckConstraint("state IN ('awake', 'waking', 'dormant')"), nullable=False),
        sa.Column("turn", sa.BigInteger, nullable=False),
        sa.Column("seen_at", TIME, nullable=False),
        sa.Column("floor", ID),
    )
    _partial_index("readers_awake", "readers", ["seen_at", "account_id"], "state = 'awake'")


def _pulled_authors() -> None:
    op.create_table(
        "pulled_authors",
        sa.Column("author_id", ID, primary_key=True),
        sa.Column("state", TEXT, sa.CheckConstraint("state IN ('pulled', 'returning')"), nullable=False),
        sa.Column("reason", TEXT, sa.CheckConstraint("reason IN ('threshold', 'shed')"), nullable=False),
        sa.Column("changed_at", TIME, nullable=False),
    )


def _fanouts() -> None:
    states = "state IN ('running', 'done', 'pulled', 'retracting')"
    op.create_table(
        "fanouts",
        sa.Column("post_id", ID, primary_key=True),
        sa.Column("author_id", ID, nullable=False),
        sa.Column("published_at", TIME, nullable=False),
        sa.Column("begun_at", TIME, nullable=False),
        sa.Column("state", TEXT, sa.CheckConstraint(states), nullable=False),
        sa.Column("stage", TEXT, sa.CheckConstraint("stage IN ('all', 'recent', 'rest')"), nullable=False),
        sa.Column("cursor", ID),
        sa.Column("audience", sa.BigInteger, sa.CheckConstraint("audience >= 0"), nullable=False),
        sa.Column("delivered", sa.BigInteger, sa.CheckConstraint("delivered >= 0"), nullable=False),
        sa.Column("lags", TEXT, nullable=False),
        sa.Column("finished_at", TIME),
        sa.Column("trace", TEXT, nullable=False),
        sa.CheckConstraint("state <> 'done' OR finished_at IS NOT NULL"),
    )
    _partial_index("fanouts_running", "fanouts", ["published_at"], "state = 'running'")
    _partial_index("fanouts_pulled", "fanouts", ["author_id", "post_id"], "state = 'pulled'")
    _partial_index("fanouts_done", "fanouts", ["finished_at", "post_id"], "state = 'done'")


def _partial_index(name: str, table: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, postgresql_where=condition, sqlite_where=condition)
