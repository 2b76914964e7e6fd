"""What the engines themselves say: how full they are, and what the rules of `quartet doctor advice` make of it."""

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
    """What of the engine under a role has a `value`, such as its memory, and perhaps a `limit`."""
    from repositories.observing import open_observer

    try:
        with contextlib.closing(open_observer(getattr(container().settings, f"{role}_url"), [role])) as observer:
            # The first question is about the server as a whole; others may cost more than a panel is worth.
            ask = next(iter(observer.questions().values()))
            return [subject for subject in ask() if subject.kind == "level"]
    except (StoreError, Unread, BadAddress) as error:
        return Away(str(error))


class Judged(Struct, frozen=True):
    """One engine, or our own series: what is advised, and what could not be read."""

    engine: str
    place: str
    found: Sequence[Any]
    notes: Sequence[str]


def advice() -> dict[str, Any]:
    """As the command, with the series of this server. Asks each engine all there is, so it is not asked often."""
    # Imported here, after the server has set the directory in which its processes share metrics.
    from app.doctor.advice.looking import look
    from app.doctor.advice.rule import judged, rules
    from app.doctor.advice.scrape import Series
    from app.telemetry import exposition
    from repositories.observing import Observers

    series, notes = Series(), []
    if container().settings.metrics:
        series.add(exposition.rendered(exposition.registry(), "text/plain")[0].decode())
    else:
        notes.append("metrics are off")
    with contextlib.closing(Observers(container().urls)) as observers:
        looked = list(look(container(), observers, series, notes))
    found = [Judged(one.engine, one.place, list(judged(one, roles, rules())), one.notes) for one, roles in looked]
    return {"judged": found, "say": ""}
