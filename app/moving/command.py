"""`quartet move`."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from app.backup.progress import KindRates
from app.container import Container, open_stores
from app.moved_roles import at
from app.moving.mover import NEW, Move, NotQuiet, NotTheSame, PlaceFails, compare, of_place
from app.stores import Stores
from config import SettingsError
from repositories.address import BadAddress
from repositories.errors import StoreError
from repositories.moving.places import CLOSED, Overtaken, StorePlace
from repositories.store import Store

Opened = Callable[[], AbstractContextManager[Container]]
ROLES = ("relational", "documents", "feeds", "sessions", "cache")
FILE = "sqlite:///"
# Store calls of a move may take longer than those of a request.
CALL_SECONDS = 60.0
INTERRUPTED = 130


@click.command()
@click.argument("role", type=click.Choice(ROLES))
@click.option(
    "--to", "url", required=True, metavar="URL", help="URL of the new place, in the form of QUARTET_<ROLE>_URL."
)
@click.option("--dry-run", is_flag=True, help="Check everything and count the items, but change nothing.")
@click.option("--verify-only", is_flag=True, help="Compare both places by count and digest; change nothing.")
@click.pass_obj
def move(opened: Opened, role: str, url: str, *, dry_run: bool, verify_only: bool) -> None:
    """Move a role to another place while the system serves. If it is killed at any point, run it again.

    Creates the tables in the new place, which must be empty otherwise. Exits with 1 if the role was not moved. With
    the URL of the role's current place, it cancels a move that was killed.
    """
    url = _absolute(url)
    with opened() as container, _errors_in_one_line(), _opened_stores(container, role, url) as (old, new, there):
        old_url = _absolute(getattr(container.settings, f"{role}_url"))
        if not verify_only:
            _require_truth(old, role)
        if _is_same_place(old_url, url) and not verify_only:
            _place(old).tidy()
            click.echo(f"{role} is already there: set QUARTET_{role.upper()}_URL in every process")
            return
        if not (dry_run or verify_only):
            # Migrate all stores, since streams and limits are at the URL of the cache, too.
            with of_place(NEW):
                there.migrate()
        with of_place(NEW):
            _require_receivable(new, verify_only=verify_only)
        rates = KindRates({role: url.partition(":")[0]})
        moving = Move(
            _place(old),
            _place(new),
            say=click.echo,
            counted=rates.counted,
            ended=lambda end: rates.ended(role, end),
            wait=time.sleep,
        )
        if verify_only:
            compare(_place(old), _place(new), lambda end: rates.ended(role, end))
            click.echo("both places are the same, by count and digest")
        elif dry_run:
            moving.count()
            click.echo("nothing was changed")
        else:
            with given_up(_place(old), moving.id):
                paused = moving.run(old_url, url)
            click.echo(f"switched; writers waited for {paused:.3f} s")
            with suppress(StoreError, Overtaken):
                _place(new).tidy(moving.id)
            click.echo(f"set QUARTET_{role.upper()}_URL in every process; until then they follow by themselves")


@contextmanager
def given_up(old: StorePlace, move_id: str) -> Iterator[None]:
    """If the move fails or is interrupted, stop recording changes, unless another move has begun since."""
    try:
        yield
    except Overtaken:
        raise
    except BaseException:
        with suppress(StoreError, Overtaken):
            old.tidy(move_id)
        raise


@contextmanager
def _opened_stores(container: Container, role: str, url: str) -> Iterator[tuple[Store, Store, Stores]]:
    """Open the old and the new store, with a move's timeouts, and all stores of the settings with the new place."""
    container.stores.require_migrated(container.stores.by_role()[role])
    patience: dict[str, Any] = {f"{role}_timeout": CALL_SECONDS}
    patient = replace(container.settings, **patience)
    there = at(patient, role, url)
    with ExitStack() as opened:
        here = opened.enter_context(closing(open_stores(patient)))
        try:
            there.validate()
            stores = opened.enter_context(closing(open_stores(there)))
            new = stores.by_role()[role]
            new.ping()
        except (BadAddress, SettingsError, StoreError) as error:
            # Make one line of the driver's text, and remove the name of the role's setting: `--to` is what is wrong.
            text = " ".join(str(error).removeprefix(f"QUARTET_{role.upper()}_URL: ").split())
            raise click.ClickException(f"--to: {text}") from error
        yield here.by_role()[role], new, stores


def _require_truth(old: Store, role: str) -> None:
    """Report early, with the reason, that the old place is no longer the truth. The move itself checks it again."""
    mark = _place(old).mark()
    if mark and mark.state in CLOSED:
        raise Overtaken(f"another move of {role} has ended meanwhile")


def _require_receivable(new: Store, *, verify_only: bool) -> None:
    place = _place(new)
    if new.migrate(dry_run=True):
        # Without tables there is no mark and nothing to count.
        if verify_only:
            raise click.ClickException("--to: there are no tables, or those of another version")
        return
    mark = place.mark()
    if not verify_only and (mark is None or mark.state not in CLOSED) and not place.is_empty():
        raise click.ClickException("--to: the place is not empty, and its contents are not from a move of this system")


def _place(store: Store) -> StorePlace:
    if store.place is None:
        raise click.ClickException("this role cannot be moved between these engines")
    return store.place


@contextmanager
def _errors_in_one_line() -> Iterator[None]:
    try:
        yield
    except (NotTheSame, NotQuiet, Overtaken, PlaceFails, BadAddress) as error:
        raise click.ClickException(f"not moved: {error}") from error
    except KeyboardInterrupt:
        click.echo("\ninterrupted: not moved; run it again to start over", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None


def _absolute(url: str) -> str:
    """Make the path of a file absolute, since processes with other working directories follow the move too."""
    return f"{FILE}{Path(url.removeprefix(FILE)).absolute()}" if url.startswith(FILE) else url


def _is_same_place(one: str, other: str) -> bool:
    """Whether both URLs name the same place. One file may have several paths."""
    if one.startswith(FILE) and other.startswith(FILE):
        return Path(one.removeprefix(FILE)).resolve() == Path(other.removeprefix(FILE)).resolve()
    return one == other
