"""Measures a page of a home feed by the reader's followees and the number of posts, next to SQL on the same data."""

import os
import statistics
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import cycle
from typing import NamedTuple
from uuid import UUID

import click
from flask.testing import FlaskClient
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from app.container import Container
from app.http import create_app
from app.services.feeds.page_windows import Window
from bench.feed import sql
from bench.feed.chart import Bar
from bench.feed.crowd import PASSWORD, system
from bench.feed.figures import Figures, Work
from bench.feed.town import KEPT, Kind, Reader, Town, settle
from repositories import meter
from repositories.meter import Observer
from tests.engines import Engines

LIMIT = 20
DEEP, OLD = 200, KEPT + 300
TALLIED = 20
KINDS = Kind(10), Kind(1_000), Kind(10_000), Kind(10_000, silent=True)


class Scale(Struct, frozen=True):
    posts: tuple[int, ...]
    rounds: int
    each: int


class Place(NamedTuple):
    """A page, `skipped` entries down: the first, one after 200 entries, or one below the low watermark."""

    name: str
    skipped: int


PLACES = Place("first page", 0), Place("page 11", DEEP), Place("below the low watermark", OLD)


class Cell(NamedTuple):
    kind: Kind
    posts: int

    def __str__(self) -> str:
        return f"{self.kind} of {self.posts:,}"


Starts = list[tuple[Reader, UUID | None]]


class Site(NamedTuple):
    container: Container
    client: FlaskClient
    town: Town
    forms: dict[str, sql.Feed]


def measure(engines: Engines, scale: Scale) -> list[Bar]:
    figures = Figures()
    with ExitStack() as stack:
        sites = [stack.enter_context(_site(engines, posts)) for posts in scale.posts]
        works: dict[str, Work] = {}
        for site in sites:
            for kind, readers in site.town.readers.items():
                works |= _works(site, Cell(kind, site.town.posts), readers)
        Figures().measure(works, 1, scale.each)
        figures.measure(works, scale.rounds, scale.each)
        _report(figures, scale)
        _compare_extremes(works, scale)
        for site in (sites[0], sites[-1]):
            _print_store_calls(site)
    return _bars(figures, scale)


@contextmanager
def _site(engines: Engines, posts: int) -> Iterator[Site]:
    """A separate system on the shared servers."""
    with system(engines) as container:
        click.echo(f"loading {posts:,} posts")
        url = container.settings.relational_url
        town = settle(container, posts, KINDS, partial(sql.fill, url))
        with sql.feeds(url) as forms:
            yield Site(container, create_app(container).test_client(), town, forms)


def _works(site: Site, cell: Cell, readers: list[Reader]) -> dict[str, Work]:
    """What is measured for a cell, by name, without pages that the feed is too short for. Checks every page."""
    works: dict[str, Work] = {}
    for place in PLACES:
        if len(readers[0].feed) <= place.skipped + LIMIT:
            continue
        starts = _starts(readers, place)
        for reader, before in starts:
            _check(site, reader, place, before)
        works[f"{cell} {place.name}"] = _service(site, starts)
        form = sql.best(site.forms, readers[0].account.id, starts[0][1])
        click.echo(f"  {cell}, {place.name}: the quickest SQL is '{form}'")
        works[f"{cell} {place.name} sql"] = _sql(site.forms[form], starts)
        works[f"{cell} {place.name} join"] = _sql(site.forms["join"], starts)
    works[f"{cell} http"] = _http(site, readers)
    return works


def _starts(readers: list[Reader], place: Place) -> Starts:
    return [(one, one.feed[place.skipped - 1] if place.skipped else None) for one in readers]


def _check(site: Site, reader: Reader, place: Place, before: UUID | None) -> None:
    wanted = reader.feed[place.skipped : place.skipped + LIMIT]
    page = site.container.pages.cards.home(reader.account.id, Window(LIMIT, before))
    assert list(page.ids) == wanted
    for form in site.forms.values():
        assert [row[0] for row in form(reader.account.id, before)][:LIMIT] == wanted


def _service(site: Site, starts: Starts) -> Work:
    turns = cycle((one.account.id, Window(LIMIT, before)) for one, before in starts)
    return lambda: site.container.pages.cards.home(*next(turns))


def _sql(feed: sql.Feed, starts: Starts) -> Work:
    turns = cycle((one.account.id, before) for one, before in starts)
    return lambda: feed(*next(turns))


def _http(site: Site, readers: list[Reader]) -> Work:
    """The complete route with cards, through WSGI without a socket."""
    sessions = site.container.people.sessions
    tokens = [sessions.sign_in(sessions.known(one.account.handle), PASSWORD, None).token for one in readers]
    turns = cycle({"Authorization": f"Bearer {token}"} for token in tokens)

    def get() -> None:
        answer = site.client.get(f"/api/v1/feed?limit={LIMIT}", headers=next(turns))
        assert answer.status_code == 200

    return get


def _report(figures: Figures, scale: Scale) -> None:
    cells = [Cell(kind, posts) for posts in scale.posts for kind in KINDS]
    for place in [*(place.name for place in PLACES), "http"]:
        shown = Table(
            "followees, posts",
            "p50 ms",
            "p99 ms",
            "least ms",
            "of first row",
            "SQL p50",
            "p99",
            "join p50",
            title=place,
        )
        known = [str(cell) for cell in cells if f"{cell} {place}" in figures]
        for cell in known:
            name = f"{cell} {place}"
            row = [f"{figures.percentile(name, share):.2f}" for share in (0.5, 0.99, 0.0)]
            row.append(f"{figures.ratio(name, f'{known[0]} {place}'):.2f}")
            if f"{name} sql" in figures:
                row += [f"{figures.percentile(f'{name} sql', share):.2f}" for share in (0.5, 0.99)]
                row.append(f"{figures.percentile(f'{name} join', 0.5):.2f}")
            shown.add_row(cell, *row)
        Console(width=120).print(shown)


def _bars(figures: Figures, scale: Scale) -> list[Bar]:
    """The medians of first pages, for the chart."""
    cells = [Cell(kind, posts) for posts in scale.posts for kind in KINDS]
    lines = ("Quartet", ""), ("best SQL", " sql"), ("SQL join", " join")
    return [
        Bar(str(cell), line, figures.percentile(f"{cell} first page{of}", 0.5)) for cell in cells for line, of in lines
    ]


def _compare_extremes(works: dict[str, Work], scale: Scale) -> None:
    """Compare only the smallest and the largest cell, in alternating short measurements."""
    small, large = Cell(KINDS[0], scale.posts[0]), Cell(KINDS[2], scale.posts[-1])
    for place in ("first page", "page 11", "http"):
        names = [f"{cell} {place}" for cell in (small, large)]
        figures = Figures()
        figures.measure({name: works[name] for name in names}, 20 * scale.rounds, 3)
        ratio = figures.ratio(names[1], names[0])
        shown = ", ".join(
            f"{name}: p50 {figures.percentile(name, 0.5):.2f}, least {figures.least(name):.2f} ms" for name in names
        )
        click.echo(f"{shown}; ratio {ratio:.2f}, load {os.getloadavg()[0]:.1f}")


class Calls(Observer):
    """Records the milliseconds of every call by store and operation."""

    def __init__(self) -> None:
        self.kept: dict[str, list[float]] = defaultdict(list)

    def called(self, store: str, operation: str, trips: int, seconds: float, *, ok: bool) -> None:  # noqa: ARG002
        self.kept[f"{store} {operation} ({trips})"].append(seconds * 1000)

    def waited(self, *_: object) -> None:
        return

    def cache_event(self, *_: object) -> None:
        return

    def observed(self, *_: object) -> None:
        return

    def counted(self, *_: object) -> None:
        return

    def running(self, *_: object) -> None:
        return


def _print_store_calls(site: Site) -> None:
    """Print the store calls of a page: their median milliseconds, round trips, and number per page."""
    for kind, readers in site.town.readers.items():
        for place in (PLACES[0], PLACES[-1]):
            if len(readers[0].feed) <= place.skipped + LIMIT:
                continue
            calls, whole = Calls(), Figures()
            meter.watch(calls)
            whole.measure({"page": _service(site, _starts(readers, place))}, 1, TALLIED)
            meter.watch(None)
            told = ", ".join(
                f"{name} {statistics.median(kept):.2f} x {len(kept) / TALLIED:.1f}" for name, kept in calls.kept.items()
            )
            cell = Cell(kind, site.town.posts)
            click.echo(f"{cell}, {place.name}: {whole.percentile('page', 0.5):.2f} ms: {told}")
