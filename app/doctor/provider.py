"""The command `quartet doctor provider`."""

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import msgspec

from app.container import Container
from app.services.money.provider import ProviderAway
from app.services.money.reconciliation import Disagreement, Reconciliation

Opened = Callable[[], AbstractContextManager[Container]]
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
# The provider's clock may be ahead of the database's.
AHEAD = timedelta(days=1)
# Seconds: the lease of a claim (10) and the first tries of the relay.
PATIENCE = 15.0


class TimeOption(click.ParamType[datetime]):
    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            at = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no RFC 3339 time", param, ctx)
        return at if at.tzinfo else at.replace(tzinfo=UTC)


@click.command("provider")
@click.option("--from", "since", type=TimeOption(), help="Only payments from this time (RFC 3339) on.")
@click.option("--to", "until", type=TimeOption(), help="Only payments before this time.")
@click.option("--patience", type=click.FloatRange(min=0), default=PATIENCE, show_default=True,
              help="Seconds for which a payment may be in progress before it counts as a difference.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object per line, the last with the totals.")
@click.pass_obj
def compare_with_provider(
    opened: Opened, *, since: datetime | None, until: datetime | None, patience: float, as_json: bool
) -> None:
    """Compare the payment provider's list with the ledger, in both directions, while serving.

    Exits with 1 if a payment differs or is still open.
    """
    began, count = time.monotonic(), 0
    with opened() as container:
        container.stores.require_migrated(container.stores.relational)
        relational, provider = container.stores.relational, container.money.payments.provider
        work = Reconciliation(relational, provider, patience)
        try:
            for one in work.differences(since or BEGINNING, until or relational.now() + AHEAD):
                count += 1
                click.echo(_line(one, as_json=as_json))
        except ProviderAway as error:
            raise click.ClickException(f"the payment provider does not answer: {error}") from error
    seconds = time.monotonic() - began
    if as_json:
        click.echo(json.dumps({"compared": work.compared, "differences": count, "seconds": round(seconds, 3)}))
    else:
        click.echo(f"{work.compared} payments in {seconds:.1f} s")
        differences = "1 difference" if count == 1 else f"{count} differences"
        click.echo(differences if count else "provider and ledger agree", err=bool(count))
    if count:
        raise click.exceptions.Exit(1)


def _line(one: Disagreement, *, as_json: bool) -> str:
    if as_json:
        return msgspec.json.encode(one).decode()
    return f"{one.reference}: {one.problem}"
