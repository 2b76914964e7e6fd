"""The commands `quartet doctor ledger` and `quartet ledger anchor`."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import chain
from pathlib import Path

import click

from app.container import Container
from app.services.money.anchors import Altered, Anchor, BadAnchor
from repositories.records.chain_heads import NO_PARTS
from repositories.records.money import Finding
from repositories.relational.money_port import Audit

Opened = Callable[[], AbstractContextManager[Container]]


@click.command("ledger")
@click.option("--anchor", "path", metavar="FILE", type=click.Path(path_type=Path),
              help="Use this anchor, not the newest one of the folder.")  # fmt: skip
@click.option("--since-anchor", is_flag=True, help="Audit only the changes since the anchor.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object per line, the last with the totals.")
@click.pass_obj
def audit_ledger(opened: Opened, *, path: Path | None, since_anchor: bool, as_json: bool) -> None:
    """Audit money, orders and stock against each other and against the last anchor, while serving.

    Exits with 1 if anything is wrong.
    """
    began, count = time.monotonic(), 0
    with opened() as container:
        container.stores.require_migrated(container.stores.relational)
        anchors, anchor, bad = container.money.anchors, None, None
        try:
            anchor = anchors.read(path) if path else anchors.last()
        except (BadAnchor, OSError) as error:
            bad = Finding("anchor", str(error))
        if since_anchor and anchor is None and bad is None:
            raise click.UsageError("there is no anchor: name one by --anchor, or set QUARTET_ANCHOR_FOLDER")
        found = audited(container.stores.relational.audit, anchor, whole=not since_anchor)
        for finding in chain([bad] if bad else [], found):
            count += 1
            line = f"{finding.about}: {finding.problem}"
            click.echo(json.dumps({"about": finding.about, "problem": finding.problem}) if as_json else line)
        anchors.note(count, whole=not since_anchor)
    _conclude(anchor, count, time.monotonic() - began, whole=not since_anchor, as_json=as_json)


def audited(audit: Audit, anchor: Anchor | None, *, whole: bool) -> Iterator[Finding]:
    """Audit everything if `whole`, else what came after the anchor. Yields the findings."""
    accounts, products = (anchor.heads(), anchor.stock_heads()) if anchor else ((), ())
    parts = anchor.parts_head() if anchor else NO_PARTS
    if whole:
        return chain(audit.ledger(accounts), audit.stock(products, parts))
    found = audit.advance(accounts, products, parts)
    return (one for one in found if isinstance(one, Finding))


def _conclude(anchor: Anchor | None, count: int, seconds: float, *, whole: bool, as_json: bool) -> None:
    if as_json:
        seal = anchor and {"file": str(anchor.path), "at": anchor.seal.at.isoformat(), "entries": anchor.seal.entries}
        click.echo(json.dumps({"findings": count, "whole": whole, "anchor": seal, "seconds": round(seconds, 3)}))
    else:
        against = (
            f"anchor of {anchor.seal.at.isoformat()}" if anchor else "no anchor, so a rewritten ledger goes undetected"
        )
        click.echo(f"{'everything' if whole else 'changes since the anchor'} in {seconds:.1f} s, against {against}")
        click.echo(f"{count} findings" if count else "ledger and stock are in order", err=bool(count))
    if count:
        raise click.exceptions.Exit(1)


@click.group()
def ledger() -> None:
    """Anchor the ledger of money."""


@ledger.command()
@click.option("--to", metavar="FILE", help="Write to FILE, not into QUARTET_ANCHOR_FOLDER; - is stdout.")
@click.pass_obj
def anchor(opened: Opened, *, to: str | None) -> None:
    """Write a signed anchor of the ledger's current state, after auditing the changes since the last anchor.

    Writes no anchor and exits with 1 if anything is wrong.
    """
    with opened() as container:
        container.stores.require_migrated(container.stores.relational)
        anchors = container.money.anchors
        try:
            if to is None and anchors.folder is not None:
                click.echo(str(anchors.make().path))
            elif to in {None, "-"}:
                anchors.write(sys.stdout.buffer, anchors.last())
            else:
                with Path(str(to)).open("xb") as out:
                    anchors.write(out, anchors.last())
        except Altered as error:
            for finding in error.findings:
                click.echo(f"{finding.about}: {finding.problem}", err=True)
            raise click.ClickException("the ledger was altered, so it is not anchored") from error
        except (BadAnchor, OSError) as error:
            raise click.ClickException(str(error)) from error
