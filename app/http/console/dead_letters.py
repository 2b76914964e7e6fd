"""Pages of the dead letters of each outbox and sink, and replaying them after a confirmation."""

from datetime import datetime
from typing import Any
from uuid import UUID

from flask import Response, request
from msgspec import Struct
from werkzeug.exceptions import BadRequest

from app.http.console.away import asked
from app.http.console.panels import outboxes
from app.http.console.signing_in import PATH
from app.http.console.views import blp, page, to
from app.http.edge.deps import container
from repositories.outbox import Outbox
from repositories.records.events import Event

PER_PAGE = 25
# The oldest dead letters that can be listed. Newer ones become visible once these are replayed.
MOST = 1000
ALL = "all"


class Shown(Struct, frozen=True):
    """A dead letter of an outbox or a sink. `tries` is None for a sink, whose retries are limited by time instead."""

    event: Event
    tries: int | None
    reason: str
    since: datetime


@blp.get("/dead-letters")
def dead_letters() -> Response:
    source, number = request.args.get("source", "relational"), _page_number()
    sinks = asked(container().stores.relational.event_log.states)
    found = asked(lambda: _page_of(source, number))
    context: dict[str, Any] = {"source": source, "number": number, "found": found, "sinks": sinks, "most": MOST}
    context["backlogs"] = {truth: asked(outbox.backlog) for truth, outbox in outboxes().items()}
    context["replayed"] = request.args.get("replayed", type=int)
    return page("dead_letters.html", "Dead letters", **context)


@blp.get("/dead-letters/<any('relational', 'documents'):truth>/<event_id>")
def confirm_replay(truth: str, event_id: str) -> Response:
    """Show what a replay would do, with a button to confirm it."""
    wanted = _wanted(event_id)
    outbox = outboxes()[truth]
    shown = wanted and next((one for one in outbox.dead_letters(limit=MOST) if one.event.id == wanted[0]), None)
    backlog = outbox.backlog()
    return page("replay.html", "Replay", truth=truth, event_id=event_id, shown=shown, backlog=backlog)


@blp.post("/dead-letters/<any('relational', 'documents'):truth>/<event_id>")
def replay(truth: str, event_id: str) -> Response:
    """Replay one event, or all. Does nothing for an event that was replayed already, as it is no dead letter."""
    outbox: Outbox = outboxes()[truth]
    count = outbox.replay(_wanted(event_id), now=outbox.now() or container().kit.clock())
    return to(f"{PATH}/dead-letters?source={truth}&replayed={count}")


def _page_of(source: str, number: int) -> tuple[list[Shown], bool]:
    """The dead letters of page `number` (from 1), and whether another page follows."""
    start, end = (number - 1) * PER_PAGE, number * PER_PAGE + 1
    if source in outboxes():
        every = outboxes()[source].dead_letters(limit=min(end, MOST))[start:]
        found = [Shown(one.event, one.attempts, one.reason, one.dead_lettered_at) for one in every]
    else:
        letters = container().stores.relational.event_log.dead_letters(source, after=0, limit=min(end, MOST))[start:]
        found = [Shown(one.logged.event, None, one.reason, one.dead_lettered_at) for one in letters]
    return found[:PER_PAGE], len(found) > PER_PAGE


def _page_number() -> int:
    number = request.args.get("page", 1, type=int)
    return min(max(number, 1), MOST // PER_PAGE)


def _wanted(event_id: str) -> list[UUID] | None:
    """The event to replay; None for all of them."""
    if event_id == ALL:
        return None
    try:
        return [UUID(event_id)]
    except ValueError:
        raise BadRequest("this is no id of an event") from None
