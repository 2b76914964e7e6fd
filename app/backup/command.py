"""`quartet dump` and `quartet restore`."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import click

from app.backup.dumping import write
from app.backup.file import BadFile
from app.backup.progress import KindRates
from app.backup.restoring import NotEmpty, checked, differences, load, refuse_unless_empty
from app.container import Container

Opened = Callable[[], AbstractContextManager[Container]]
INTERRUPTED = 130
file = click.argument("path", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))


@click.command()
@file
@click.pass_obj
def dump(opened: Opened, path: Path) -> None:
    """Write the truth of a running system to FILE, as of one point in time.

    Sessions, feeds and caches are not included: after a restore, users sign in again and feeds are filled from the
    truth.
    """
    with opened() as container, _errors_in_one_line(path):
        container.stores.require_migrated()
        rates = KindRates(container.settings.engines)
        header = write(container.stores, path, rates)
        rates.all("written")
        click.echo(f"{path}: {path.stat().st_size:,} bytes, as of {header.at.isoformat()} within {header.within:.3f} s")


@click.command()
@file
@click.option("--verify-only", is_flag=True, help="Compare FILE with the stores' contents; change nothing.")
@click.option("--again", is_flag=True, help="Continue an interrupted restore of FILE.")
@click.pass_obj
def restore(opened: Opened, path: Path, *, verify_only: bool, again: bool) -> None:
    """Load FILE into empty stores, and compare the result. Start servers and the relay afterwards.

    Exits with 1 if FILE is incomplete, the stores are not empty, or their contents differ from FILE.
    """
    with opened() as container, _errors_in_one_line(path):
        stores, rates = container.stores, KindRates(container.settings.engines)
        container.stores.require_migrated()
        if not verify_only:
            refuse_unless_empty(stores, again=again)
        header, ends = checked(path, stores)
        click.echo(f"{path}: whole, {sum(end.records for end in ends):,} records as of {header.at.isoformat()}")
        if not verify_only:
            load(path, stores, ends, rates)
            rates.all("restored")
        wrong = list(differences(stores, ends))
    for line in wrong:
        click.echo(line, err=True)
    if wrong:
        raise click.ClickException(f"{len(wrong)} of {len(ends)} kinds are not as in {path}")
    click.echo(f"all {len(ends)} kinds are as in the file, by count and digest")
    if not verify_only:
        click.echo("feeds are pulled until they are filled: `quartet rebuild feeds` writes the authors' timelines now")


@contextmanager
def _errors_in_one_line(path: Path) -> Iterator[None]:
    try:
        yield
    except BadFile as error:
        raise click.ClickException(f"{path}: {error}") from error
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror or error}") from error
    except NotEmpty as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        click.echo("\ninterrupted; to continue a restore, run it again with --again", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
