"""Figures read from the engines: their fill levels, and the advice of `quartet doctor advice` about them."""

import contextlib
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from app.http.console.away import Away
from app.http.edge.deps import container
from repositories.address import BadAddress
from repositories.errors import StoreError
from repositories.observer_port import Subject, Unread


def levels(role: str) -> Sequence[Subject] | Away:
    """The levels of the engine of a role, such as its memory: each has a `value` and perhaps a `limit`."""
    from repositories.observers import open_observer

    try:
        with contextlib.closing(open_observer(getattr(container().settings, f"{role}_url"), [role])) as observer:
            # The first question is about the server as a whole. The others may be too costly for a panel.
            ask = next(iter(observer.questions().values()))
            return [subject for subject in ask() if subject.kind == "level"]
    except (StoreError, Unread, BadAddress) as error:
        return Away(str(error))


class Judged(Struct, frozen=True):
    """The advice about one engine, or about this server's own metrics. `notes` tell what could not be read."""

    engine: str
    place: str
    found: Sequence[Any]
    notes: Sequence[str]


def advice() -> dict[str, Any]:
    """The advice that `quartet doctor advice` gives, from this server's metrics and from all questions to each engine.

    It is costly, so do not call it often.
    """
    # Imported here, because the server must first set the directory in which its processes share metrics.
    from app.doctor.advice.looking import look
    from app.doctor.advice.rule import judged, rules
    from app.doctor.advice.scrape import Series
    from app.telemetry import exposition
    from repositories.observers import Observers

    series, notes = Series(), []
    if container().settings.metrics:
        series.add(exposition.rendered(exposition.registry(), "text/plain")[0].decode())
    else:
        notes.append("metrics are off")
    with contextlib.closing(Observers(container().urls)) as observers:
        looked = list(look(container(), observers, series, notes))
    found = [Judged(one.engine, one.place, list(judged(one, roles, rules())), one.notes) for one, roles in looked]
    return {"judged": found, "say": ""}
