"""Measures `quartet seed` next to direct loads of the same rows: COPY, `insert_many`, the driver's concurrent loop.

`python -m bench.seeding [--rounds 3] [--accounts 2000] [--posts 20000] [--only "home timelines"]`; starts its own
engines. See README.md.
"""

import os
import statistics
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from time import perf_counter, process_time
from typing import Any
from urllib.parse import urlsplit

import click
import psycopg
from cassandra import ConsistencyLevel
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.policies import RetryPolicy
from msgspec import Struct
from pymongo import MongoClient
from rich.console import Console
from rich.table import Table

from app.container import Container
from app.garbage_collection import staying
from app.seed.load import BATCH, Loader
from app.seed.plan import Plan
from app.seed.sizes import sizes
from app.seed.work import Progress, Run, Step
from bench.feed.crowd import PASSWORD, system
from repositories.documents.mongo import comments, posts
from repositories.feeds.cassandra.schema import LONGEST_TTL, statements
from repositories.feeds.id_time import millis
from repositories.feeds.layout import Layout
from repositories.relational.people.accounts import account_row
from tests.engines import Engines

CONCURRENCY, PROTOCOL = 100, 5
# Seconds for one entry: so long that only a hanging node reaches it, not a slow one.
HANGING = 600.0
AGAIN = 20
Rows = list[Any]


class Figure(Struct, frozen=True):
    """`busy` is the CPU time of this process, the client, in seconds."""

    rows: int
    seconds: float
    busy: float


class Again(RetryPolicy):  # type: ignore[misc]  # the driver has no types
    """Retries writes that time out, so that the loop completes on a busy machine."""

    def on_write_timeout(self, *_: Any, retry_num: int, **__: Any) -> tuple[int, None]:
        return (self.RETRY, None) if retry_num < AGAIN else (self.RETHROW, None)


class Yardstick:
    """The baseline. Each method makes the rows of a plan, and returns their number and the load to be measured."""

    def __init__(self, container: Container, opened: ExitStack) -> None:
        settings = container.settings
        self._sql = opened.enter_context(psycopg.connect(settings.relational_url))
        client: MongoClient[Any] = MongoClient(
            settings.documents_url, uuidRepresentation="standard", w="majority", journal=True
        )
        self._documents = opened.enter_context(client).get_default_database()
        where = urlsplit(settings.feeds_url)
        profile = ExecutionProfile(
            consistency_level=ConsistencyLevel.LOCAL_QUORUM, request_timeout=HANGING, retry_policy=Again()
        )
        profiles: dict[Any, ExecutionProfile] = {EXEC_PROFILE_DEFAULT: profile}
        cluster = Cluster(
            [(where.hostname, where.port)], protocol_version=PROTOCOL, execution_profiles=profiles, compression=False
        )
        opened.callback(cluster.shutdown)
        self._session = cluster.connect()
        texts = statements(where.path[1:])
        self._author_add, self._home_add = (self._session.prepare(texts[name]) for name in ("author_add", "home_add"))
        self._most = settings.backfill_posts

    def accounts(self, plan: Plan) -> None:
        """Insert the accounts, to which other rows refer. Not measured."""
        with self._sql.cursor() as cursor:
            for k in range(plan.sizes.accounts):
                row = account_row(plan.account(k))
                names = ", ".join(row)
                marks = ", ".join(["%s"] * len(row))
                cursor.execute(f"INSERT INTO accounts ({names}) VALUES ({marks})", list(row.values()))  # noqa: S608 - our own names
        self._sql.commit()

    def follows(self, plan: Plan) -> "Load":
        rows = [(f.follower, f.followee, f.since, True) for k in range(plan.sizes.accounts) for f in plan.follows(k)]
        return len(rows), lambda: self._copied("follows (follower, followee, since, filled)", rows)

    def likes(self, plan: Plan) -> "Load":
        rows = [(one.account_id, one.post_id, one.at) for k in range(plan.sizes.posts) for one in plan.likes(k)]
        return len(rows), lambda: self._copied("likes (account_id, post_id, at)", rows)

    def posts(self, plan: Plan) -> "Load":
        uncommented = {"comments": 0, "comment_seq": 0}
        rows = [posts.document_of(plan.post(k)) | uncommented for k in range(plan.sizes.posts)]
        return len(rows), lambda: self._inserted("posts", rows)

    def comments(self, plan: Plan) -> "Load":
        rows = [comments.document_of(one) for k in range(plan.sizes.posts) for one in plan.comments(k)]
        return len(rows), lambda: self._inserted("comments", rows)

    def author_timelines(self, plan: Plan) -> "Load":
        bucket = Layout().author.bucket
        refs = [plan.refs[n] for own in plan.posts_of for n in own]
        rows = [(one.author_id, bucket(one.post_id), one.post_id, millis(one.post_id) * 1000) for one in refs]
        return len(rows), lambda: self._looped(self._author_add, rows)

    def home_timelines(self, plan: Plan) -> "Load":
        bucket = Layout().home.bucket
        rows = [
            (plan.account_ids[k], bucket(p.post_id), p.post_id, p.author_id, millis(p.post_id) * 1000, LONGEST_TTL)
            for k in range(plan.sizes.accounts)
            for p in plan.home(k, self._most)
        ]
        return len(rows), lambda: self._looped(self._home_add, rows)

    def _copied(self, table: str, rows: Iterable[Sequence[Any]]) -> None:
        with self._sql.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        self._sql.commit()

    def _inserted(self, collection: str, rows: Sequence[dict[str, Any]]) -> None:
        self._documents[collection].insert_many(rows, ordered=False)

    def _looped(self, statement: Any, rows: Sequence[Sequence[Any]]) -> None:
        execute_concurrent_with_args(self._session, statement, rows, concurrency=CONCURRENCY)


Load = tuple[int, Callable[[], None]]


class Seeding:
    """The loader's steps by kind, to be run one by one."""

    def __init__(self, container: Container, plan: Plan, only: Sequence[str] = ()) -> None:
        loader = Loader(container, plan, container.people.hasher.hash(PASSWORD))
        self._threads = container.settings.threads
        wanted = {*only, *BEFORE} if only else None
        self.steps = {step.kind: step for step in loader.steps() if wanted is None or step.kind in wanted}

    def run(self, step: Step) -> int:
        return Run(step, batch=BATCH, threads=self._threads if step.parallel else 1, progress=Progress())().written


Pair = tuple[Figure, Figure]
# By kind, what the method of the baseline uses.
MEASURED = {
    "follows": "COPY",
    "likes": "COPY",
    "posts": "insert_many",
    "comments": "insert_many",
    "author timelines": "concurrent loop",
    "home timelines": "concurrent loop",
}
BEFORE = ("accounts", "posts")


@click.command(help=__doc__)
@click.option("--rounds", default=3, show_default=True, help="Each brings in a data set of its own, in turn.")
@click.option("--accounts", default=2000, show_default=True)
@click.option("--posts", default=20_000, show_default=True)
@click.option("--only", type=click.Choice(list(MEASURED)), multiple=True, help="Accounts and posts come before them.")
def main(rounds: int, accounts: int, posts: int, only: Sequence[str]) -> None:
    engines, found = Engines(), dict[str, list[Pair]]()
    drawn: list[Figure] = []
    try:
        with ExitStack() as opened:
            own, other = (opened.enter_context(system(engines, feeds_retention_days=3650.0)) for _ in range(2))
            yardstick = Yardstick(other, opened)
            for number in range(rounds):
                plan = Plan(sizes(accounts=accounts, posts=posts), seed=number + 1)
                # Like the loader. Neither side's garbage collections should traverse the rows of the other.
                with staying():
                    drawn.append(_measured(0, plan.prepare))
                _round(number, Seeding(own, plan, only), yardstick, plan, found)
    finally:
        engines.close()
    _report(found)
    click.echo(f"drawn before: {statistics.median(one.seconds for one in drawn):.1f} s for all")


def _round(number: int, seeding: Seeding, yardstick: Yardstick, plan: Plan, found: dict[str, list[Pair]]) -> None:
    yardstick.accounts(plan)
    for step in seeding.steps.values():
        if step.kind not in MEASURED:
            seeding.run(step)
            continue
        with staying():
            rows, load = getattr(yardstick, step.kind.replace(" ", "_"))(plan)
        pair = _pair(number, partial(seeding.run, step), rows, load)
        found.setdefault(step.kind, []).append(pair)
        own, there = (f"{one.rows / one.seconds:,.0f}/s" for one in pair)
        click.echo(f"  round {number + 1}: {rows:,} {step.kind}: {own}, bare {there}; load {os.getloadavg()[0]:.1f}")


def _pair(number: int, seed: Callable[[], int], rows: int, bare: Callable[[], None]) -> Pair:
    def seeded() -> None:
        assert seed() == rows

    if number % 2:
        there, own = _measured(rows, bare), _measured(rows, seeded)
    else:
        own, there = _measured(rows, seeded), _measured(rows, bare)
    return own, there


def _measured(rows: int, action: Callable[[], object]) -> Figure:
    began, used = perf_counter(), process_time()
    action()
    return Figure(rows, perf_counter() - began, process_time() - used)


def _report(found: dict[str, list[Pair]]) -> None:
    shown = Table("", "rows/s", "from", "to", "bare", "rows/s ", "ratio", "from ", "to ", "client us", "bare us")
    for kind, pairs in found.items():
        rates, others = ([one.rows / one.seconds for one in some] for some in zip(*pairs, strict=True))
        ratios = [a / b for a, b in zip(rates, others, strict=True)]
        busy = [statistics.median(one.busy / one.rows for one in some) * 1e6 for some in zip(*pairs, strict=True)]
        bare = f"{statistics.median(others):,.0f}"
        shown.add_row(
            kind,
            *_spread(rates, ",.0f"),
            MEASURED[kind],
            bare,
            *_spread(ratios, ".2f"),
            *(f"{one:.0f}" for one in busy),
        )
    Console(width=140).print(shown)


def _spread(some: Sequence[float], form: str) -> list[str]:
    return [format(one, form) for one in (statistics.median(some), min(some), max(some))]


if __name__ == "__main__":
    main()
