"""The command `quartet doctor advice`."""

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager

import click
import msgspec

from app.container import Container
from app.doctor.advice.looking import Looked, look, metrics_of
from app.doctor.advice.rule import Advice, judged, rules
from app.doctor.advice.scrape import scraped
from repositories.observers import Observers

Opened = Callable[[], AbstractContextManager[Container]]
# The most lines printed for one rule: a few of a thousand large tables are enough.
SHOWN = 5


@click.command()
@click.option(
    "--metrics", "addresses", multiple=True, metavar="URL", help="URL of a /metrics page; default: as configured."
)
@click.option(
    "--over", type=click.FloatRange(min=0), default=0.0, help="Seconds to observe the metrics; 0: since their start."
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    type=(str, float),
    metavar="LEVEL NUMBER",
    help="A limit that engines cannot report.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def advice(
    opened: Opened, *, addresses: tuple[str, ...], over: float, limits: tuple[tuple[str, float], ...], as_json: bool
) -> None:
    """Recommend the next index, setting, pool or rung, from statistics of the engines and Quartet's metrics.

    Changes nothing. Exits with 1 if there is advice.
    """
    with opened() as container, contextlib.closing(Observers(container.urls)) as observers:
        series, notes = scraped(addresses or metrics_of(container), over)
        looked = list(look(container, observers, series, notes, dict(limits)))
    found = [one for observed, roles in looked for one in judged(observed, roles, rules())]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(_record(looked, found)), indent=2))
    else:
        _print(looked, found)
    if found:
        raise click.exceptions.Exit(1)


def _record(looked: list[Looked], found: list[Advice]) -> dict[str, object]:
    seen = [{"engine": one.engine, "place": one.place, "roles": roles, "notes": one.notes} for one, roles in looked]
    return {"advice": found, "looked_at": seen}


def _print(looked: list[Looked], found: list[Advice]) -> None:
    for observed, roles in looked:
        mine = [one for one in found if (one.engine, one.place) == (observed.engine, observed.place)]
        about = f" ({', '.join(roles)})" if observed.engine != "Quartet" else ""
        click.echo(
            f"{observed.engine}, {observed.place}{about}: {f'{len(mine)} found' if mine else 'nothing to advise'}"
        )
        for rule in dict.fromkeys(one.rule for one in mine):
            same = [one for one in mine if one.rule == rule]
            for one in same[:SHOWN]:
                click.echo(f"  {one.rule}: {one.words}")
                click.echo(f"    run: {one.command}")
            if len(same) > SHOWN:
                click.echo(f"    and {len(same) - SHOWN} more")
            click.echo(f"    why: {same[0].because} (docs/{same[0].page})")
        for note in observed.notes:
            click.echo(f"  not looked at: {note}")
    click.echo(f"{len(found)} piece{'s' if len(found) > 1 else ''} of advice" if found else "nothing to advise")
