"""The command `quartet seed`, and the seeding of the first `quartet start`."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime
from typing import Any

import click
from msgspec import Struct

from app.container import Container
from app.seed.load import BATCH, Loader
from app.seed.plan import UNTIL, Plan
from app.seed.sizes import NAMES, SMALL, Sizes, sizes
from app.seed.verify import Verifier
from app.seed.work import Outcome, Progress
from repositories.records.products import ProductFilter

Opened = Callable[[], AbstractContextManager[Container]]
PASSWORD = "correct horse battery staple"  # noqa: S105 - public on purpose: these accounts belong to nobody
INTERRUPTED = 130
SHOWN_DIFFERENCES = 50
count = click.IntRange(min=0)


class SeededLogin(Struct, frozen=True):
    handle: str
    password: str


@click.command()
@click.option(
    "--seed", "number", default=1, show_default=True, help="Another number creates different data, beside the old."
)
@click.option("--size", type=click.Choice(NAMES), default=SMALL, show_default=True)
@click.option("--accounts", type=count, help="This and the next six options override the counts of --size.")
@click.option("--follows", type=count)
@click.option("--products", type=count)
@click.option("--posts", type=count)
@click.option("--comments", type=count)
@click.option("--likes", type=count)
@click.option("--orders", type=count)
@click.option(
    "--batch",
    type=click.IntRange(1, 10_000),
    default=BATCH,
    show_default=True,
    help="Rows per write; five times as many for follows, half as many for posts and comments.",
)
@click.option("--concurrency", type=click.IntRange(1), help="Concurrent writes, at most QUARTET_THREADS (the default).")
@click.option(
    "--until",
    type=click.DateTime(["%Y-%m-%d"]),
    default=f"{UNTIL:%Y-%m-%d}",
    show_default=True,
    help="End of the sixty days over which the posts are spread.",
)
@click.option("--password", default=PASSWORD, show_default=True, help="Password of all seeded accounts.")
@click.option("--verify", is_flag=True, help="Read everything back; exit with 1 if anything differs from the plan.")
@click.option("--only-if-empty", is_flag=True, help="Do nothing if the system has other posts or products.")
@click.pass_obj
def seed(opened: Opened, /, **options: Any) -> None:
    """Fill the system with sample data. The same options produce the same data.

    After an interruption, run it again to continue. All accounts have the same password.
    """
    chosen = _sizes(options)
    until = options["until"].replace(tzinfo=UTC)
    plan = Plan(chosen, seed=options["number"], until=until)
    with opened() as container:
        _check(container, until, options["password"])
        container.stores.migrate()
        if options["only_if_empty"] and not _holds_only(container, plan):
            click.echo("nothing done: the system is not empty")
            return
        threads = min(options["concurrency"] or container.settings.threads, container.settings.threads)
        try:
            _load(container, plan, options["password"], batch=options["batch"], threads=threads)
            if options["verify"]:
                _verify(container, plan, threads)
        except KeyboardInterrupt:
            click.echo("\ninterrupted; what is loaded stays, and the same command goes on from here", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None


def seed_small_once(container: Container) -> Callable[[], SeededLogin | None]:
    """Load the small data set on the first start, or the rest of it after an interruption.

    Data that was deleted later is not loaded again. Returns a function that gives the login of an ordinary account. It
    uses no store, and verifies the password, which takes as long as a sign-in. It gives None in production, and when
    the password has been changed.
    """
    if container.settings.env == "production":
        return _no_login
    plan = Plan(sizes())
    if not _loaded(container, plan):
        progress = _bars(container) if sys.stdout.isatty() else Progress()
        _run(container, plan, PASSWORD, batch=BATCH, threads=container.settings.threads, progress=progress)
    k = _ordinary_account(plan)
    accounts = container.stores.relational.accounts
    account, login = accounts.get([plan.account_ids[k]]), accounts.login_of(plan.account_ids[k])
    if not account or login is None:
        return _no_login
    handle, hashed = account[plan.account_ids[k]].handle, login.password_hash
    return lambda: SeededLogin(handle, PASSWORD) if container.people.hasher.verify(hashed, PASSWORD) else None


def _no_login() -> None:
    return None


def _sizes(options: dict[str, Any]) -> Sizes:
    try:
        return sizes(options["size"], **{name: options[name] for name in Sizes.__struct_fields__})
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _check(container: Container, until: datetime, password: str) -> None:
    if until > container.kit.clock():
        raise click.UsageError("--until is in the future")
    if container.settings.env == "production" and password == PASSWORD:
        raise click.UsageError("--password: production needs one that is not in the documentation")


def _load(container: Container, plan: Plan, password: str, *, batch: int, threads: int) -> None:
    from app.seed.report import ProgressLines, table

    engines = container.settings.engines
    progress = _bars(container) if sys.stdout.isatty() else ProgressLines(engines)
    table(_run(container, plan, password, batch=batch, threads=threads, progress=progress), engines)
    click.echo(f"sign in as {plan.handle(_ordinary_account(plan))} with the password: {password}")


def _run(
    container: Container, plan: Plan, password: str, *, batch: int, threads: int, progress: Progress
) -> list[Outcome]:
    loader = Loader(container, plan, container.people.hasher.hash(password))
    with closing(progress):
        return loader.load(batch=batch, concurrency=threads, progress=progress)


def _verify(container: Container, plan: Plan, threads: int) -> None:
    wrong = 0
    for wrong, line in enumerate(Verifier(container, plan).differences(concurrency=threads), start=1):
        if wrong <= SHOWN_DIFFERENCES:
            click.echo(line, err=True)
    if wrong:
        raise click.ClickException(f"{wrong} things are not as planned")
    click.echo("everything is as planned")


def _bars(container: Container) -> Progress:
    from app.seed.report import ProgressBars  # imports rich, which most starts do not need

    return ProgressBars(container.settings.engines)


def _holds_only(container: Container, plan: Plan) -> bool:
    documents = container.stores.documents
    posts = documents.posts.page(before=None, limit=1)
    products = documents.products.page(ProductFilter(), before=None, limit=1)
    planned = {*(ref.post_id for ref in plan.refs), *plan.product_ids}
    return planned.issuperset([*(post.id for post in posts), *(product.id for product in products)])


def _loaded(container: Container, plan: Plan) -> bool:
    """Whether the last batches of the last step are loaded, or would be older than the retention."""
    if not container.stores.relational.accounts.get(plan.account_ids[:1]):
        return False
    if (container.kit.clock() - plan.until).days >= container.settings.feeds_retention_days:
        return True
    last = [k for k in range(plan.sizes.accounts * 3 // 4, plan.sizes.accounts) if plan.posts_of[k]]
    return all(container.stores.feeds.home_page(plan.account_ids[k], limit=1) for k in last)


def _ordinary_account(plan: Plan) -> int:
    """An account of medium activity that has written a post."""
    middle = plan.sizes.accounts // 2
    return next((k for k in range(middle, plan.sizes.accounts) if plan.posts_of[k]), middle)
