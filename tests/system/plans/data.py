"""A data set of `quartet seed` in PostgreSQL and MongoDB, and rows where it leaves a table empty.

`QUARTET_PLANS_SIZE=medium` is the long form. The short form has enough rows for plans to matter, but fewer per account.
"""

import os
from collections.abc import Iterator
from functools import partial

import psycopg

from app.container import Container
from app.seed.load import Loader
from app.seed.plan import Plan
from app.seed.sizes import MEDIUM, sizes
from app.seed.work import Progress, Run
from tests.contracts.transactions import together

ROLES = ("relational", "documents")
_SHORT = {"accounts": 5_000, "follows": 60_000, "posts": 10_000, "orders": 1_500}
_NAMED = os.environ.get("QUARTET_PLANS_SIZE")
SIZES = sizes(_NAMED) if _NAMED else sizes(MEDIUM, **_SHORT)
BATCH = 5000
# Rows that accumulate over time. They are not due and belong to nobody, so nothing processes them here.
MORE = """
INSERT INTO blocks SELECT id, lead, created_at FROM
  (SELECT id, lead(id) OVER (ORDER BY id), created_at FROM accounts) AS pairs WHERE lead IS NOT NULL;
INSERT INTO handle_reservations SELECT 'former_' || handle_key, id, now() + interval '1 year' FROM accounts;
INSERT INTO open_payments SELECT id, gen_random_uuid(), now() FROM accounts;
INSERT INTO mail_tokens SELECT id, 'reset', decode(md5(id::text), 'hex'), now() + interval '1 year' FROM accounts;
INSERT INTO endings SELECT id, id, id, NULL, created_at, created_at, now() + interval '1 year' FROM accounts;
INSERT INTO outbox (id, type, aggregate, happened_at, payload, due_at, attempts, dead_lettered_at, reason)
  SELECT gen_random_uuid(), 't', 'a' || n, now(), '', now() + interval '1 year', 0,
  CASE WHEN n % 30 = 0 THEN now() END, CASE WHEN n % 30 = 0 THEN 'broken' END FROM generate_series(1, 6000) AS n;
INSERT INTO event_log (id, type, aggregate, happened_at, payload, traceparent, logged_at)
  SELECT gen_random_uuid(), 't', 'a' || n, now(), '', '', now() FROM generate_series(1, 6000) AS n;
INSERT INTO sinks SELECT 'slow', min(position) + 3000, now(), 0 FROM event_log;
INSERT INTO sink_dead_letters SELECT 'sink' || position % 50, position, 'refused', now() FROM event_log;
INSERT INTO webhooks SELECT gen_random_uuid(), 'https://example.com', '', 'whsec_', NULL, NULL, now(), 0
  FROM generate_series(1, 50);
INSERT INTO levels SELECT now() - n * interval '1 hour', 'level ' || n % 10, n, NULL FROM generate_series(1, 900) AS n;
INSERT INTO request_keys (account_id, route, key, fingerprint, created_at, lease, lease_until)
  SELECT id, 'r', 'k', '', now(), id, now() FROM accounts;
INSERT INTO fanouts (post_id, author_id, published_at, begun_at, state, stage, audience, delivered, lag_histogram,
  finished_at, trace) SELECT gen_random_uuid(), gen_random_uuid(), now(), now(),
  CASE n % 10 WHEN 0 THEN 'running' WHEN 1 THEN 'pulled' ELSE 'done' END, 'all', 1, 1, '', now(), ''
  FROM generate_series(1, 10000) AS n;
INSERT INTO offers SELECT product_id, 1, decode(md5(product_id::text), 'hex') FROM stock;
INSERT INTO offers SELECT gen_random_uuid(), 1, NULL, now() + interval '1 year' FROM generate_series(1, 3000);
INSERT INTO pulled_authors SELECT gen_random_uuid(), 'pulled', 'threshold', now() + interval '1 year'
  FROM generate_series(1, 200);
INSERT INTO transfers (id, kind, debit, credit, currency, amount, created_at, phase, expires_at, digest)
  SELECT id, 'hold', id, '00000000-0000-0000-0000-000000000001', 'USD', 1, now(), 'hold', now() + interval '1 year', ''
  FROM accounts;
INSERT INTO open_holds SELECT id, kind, debit, credit, currency, amount, created_at, order_id, expires_at
  FROM transfers WHERE phase = 'hold' AND currency = 'USD';
INSERT INTO order_heads SELECT row_number() OVER (ORDER BY order_id), order_id, seller_id, version, head, head
  FROM sub_orders;
UPDATE sub_orders SET noted = version FROM (SELECT order_id AS noted_id FROM sub_orders ORDER BY order_id OFFSET 100)
  WHERE noted_id = order_id;
INSERT INTO refunds SELECT gen_random_uuid(), order_id, seller_id, reason, restock, created_at, 0, version
  FROM refunds, generate_series(1, 4)
"""
# Tables that may be read whole, since they stay small in a system of any size.
SMALL = {
    "deferred": "drops and live events that wait while the cache is unavailable",
    "feed_signals": "one counter for each shard",
    "sinks": "one row for each broker and webhook",
    "webhooks": "50 at most",
    "log_heads": "one row",
    "levels": "about ten samples an hour, for 90 days; read by the doctor",
    "pulled_authors": "the few authors who have too many followers, or post too much at present",
}
FEW = 1000
# A batch of a load, of up to 5,000 rows, may read a table of up to this many rows.
LOADED = 20_000
# Methods that read everything, in batches: compared with a batch these tables are small.
WHOLE = {
    "relational.audit.ledger": "`quartet doctor ledger` recomputes every balance from all rows",
    "relational.audit.advance": "an anchor has the heads of all accounts",
    "relational.audit.stock": "`quartet doctor ledger` compares all orders and stock with the ledger",
}


def fill(container: Container, plan: Plan, password_hash: str) -> None:
    """Load both stores concurrently. The steps for the feeds are skipped, since no plans are examined there."""
    loader = Loader(container, plan, password_hash)
    plan.prepare()

    def load(role: str) -> None:
        for step in loader.steps():
            if step.role == role:
                Run(step, batch=BATCH, threads=1, progress=Progress())()

    assert together([partial(load, role) for role in ROLES]) == [None, None]


def settle(url: str) -> None:
    """Add more rows, and freeze the statistics."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(MORE)
        connection.execute("VACUUM ANALYZE")
        for table in tables(connection):
            connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)".encode())


def tables(connection: psycopg.Connection) -> Iterator[str]:
    query = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    yield from (name for (name,) in connection.execute(query).fetchall() if name != "alembic_version")
