"""Looks at everything that a system has: its engines, its own series, and what waits in its stores."""

from collections.abc import Iterator, Sequence

from app.container import Container
from app.doctor.advice.own_observations import of_backlogs, of_series
from app.doctor.advice.scrape import Series
from repositories.errors import StoreError
from repositories.observations import EngineObserver, Observed, observe
from repositories.observing import open_observer

Looked = tuple[Observed, tuple[str, ...]]


class EnginesOf:
    """The observers of a system, one for each server or file, with the roles that are on it."""

    def __init__(self, container: Container) -> None:
        settings = container.settings
        by_url: dict[str, list[str]] = {}
        for role in container.stores.by_role():
            by_url.setdefault(getattr(settings, f"{role}_url"), []).append(role)
        self._observers = [(open_observer(url, roles), tuple(roles)) for url, roles in by_url.items()]

    def __iter__(self) -> Iterator[tuple[EngineObserver, tuple[str, ...]]]:
        return iter(self._observers)

    def close(self) -> None:
        for observer, _ in self._observers:
            observer.close()


def look(container: Container, engines: EnginesOf, series: Series, notes: Sequence[str]) -> Iterator[Looked]:
    """`series` are those of all servers and relays, and `notes` says which of them could not be read."""
    for observer, roles in engines:
        yield observe(observer), roles
    yield _own(container, engines, series, notes), tuple(container.stores.by_role())


def metrics_of(container: Container) -> list[str]:
    """Where the server and the relay of these settings serve them, if they do."""
    settings = container.settings
    host, port = settings.metrics_at
    ports = [(host, port) if port else (settings.host, settings.port)]
    if settings.relay_metrics_port:
        ports.append((settings.host, settings.relay_metrics_port))
    return [f"http://{_reached(host)}:{port}/metrics" for host, port in ports]


def _reached(host: str) -> str:
    if host in ("0.0.0.0", "::"):  # noqa: S104  not bound to, but looked for
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _own(container: Container, engines: EnginesOf, series: Series, notes: Sequence[str]) -> Observed:
    served = {role: observer.engine for observer, roles in engines for role in roles}
    places = {role: number for number, (_, roles) in enumerate(engines) for role in roles}
    subjects = list(of_series(series, served, places)) if series else []
    try:
        subjects += of_backlogs(container.stores, container.stores.relational.now())
    except StoreError as error:
        notes = [*notes, f"what waits in the stores: {error}"]
    return Observed("Quartet", "its own series", tuple(subjects), tuple(notes))
