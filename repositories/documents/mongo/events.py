"""Unsent events, stored inside the document that changed.

They are in the array `events`. `outbox` is a summary of it that indexes cover, so that the relay's queries read no
documents. Each update of `events` is a pipeline whose last stage computes `outbox` again.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from repositories.documents.mongo.client import Document
from repositories.documents.outbox_order import Waiting
from repositories.documents.times import micros, moment
from repositories.outbox import DeadLetter
from repositories.records.events import Event

Stages = list[dict[str, Any]]


def kept(event: Event, *, publishes: bool = False) -> Document:
    """The stored form of an event. With `publishes` the document is in flight until the event is acknowledged."""
    traced = {"traceparent": event.traceparent} if event.traceparent else {}
    return {
        "id": event.id,
        "type": event.type,
        "aggregate": event.aggregate,
        "happened_at": micros(event.happened_at),
        "payload": event.payload,
        **traced,
        "publishes": publishes,
        "attempts": 0,
        "due_at": micros(event.happened_at),
        "lease": None,
        "lease_until": None,
        "dead_lettered_at": None,
        "reason": None,
    }


def born_with(event: Event, *, publishes: bool = False) -> Document:
    """The fields that `event` adds to a new document; the same ones that `derived` computes."""
    happened_at = micros(event.happened_at)
    outbox = {
        "stamp": uuid4(),
        "unsent": 1,
        "since": happened_at,
        "due_at": happened_at,
        "lease_until": None,
        "dead_lettered": 0,
    }
    flight = {"in_flight": True} if publishes else {}
    return {"events": [kept(event, publishes=publishes)], "outbox": outbox, **flight}


def appended(event: Event) -> Stages:
    return [{"$set": {"events": _with_event(event)}}, *derived()]


def buried(event: Event) -> Stages:
    """Replace the document by a tombstone that keeps its events."""
    deleted_at = {"$literal": micros(event.happened_at)}
    tombstone = {"_id": "$_id", "version": "$version", "deleted_at": deleted_at, "events": _with_event(event)}
    return [{"$replaceWith": tombstone}, *derived()]


def changed(event_ids: Sequence[UUID], changes: Document, *, lease: UUID | None = None) -> Stages:
    """Merge `changes` into the events with these ids; with `lease`, only into those held by that lease."""
    held: list[Any] = [{"$eq": ["$$this.lease", lease]}] if lease else []
    ours = {"$and": [{"$in": ["$$this.id", list(event_ids)]}, *held]}
    new = {"$mergeObjects": ["$$this", {"$literal": changes}]}
    events = {"$map": {"input": "$events", "as": "this", "in": {"$cond": [ours, new, "$$this"]}}}
    return [{"$set": {"events": events}}, *derived()]


def acknowledged(event_ids: Sequence[UUID]) -> Stages:
    left = {"$not": {"$in": ["$$this.id", list(event_ids)]}}
    return [{"$set": {"events": {"$filter": {"input": "$events", "as": "this", "cond": left}}}}, *derived()]


def renamed() -> Stages:
    """Migrate events of an earlier version: `parked_at` becomes `dead_lettered_at`."""
    new = {"$mergeObjects": ["$$this", {"dead_lettered_at": {"$ifNull": ["$$this.parked_at", None]}}]}
    events = {"$map": {"input": "$events", "as": "this", "in": new}}
    return [{"$set": {"events": events}}, {"$unset": "events.parked_at"}, *derived()]


def derived() -> Stages:
    """Compute every field that depends on `events`; the last stage of each change.

    The stamp is new each time, so a claimer that has read the document with another stamp has lost the race.
    """
    none_left = {"$eq": ["$events", []]}
    buried_and_acknowledged = {"$and": [none_left, {"$gt": ["$deleted_at", None]}]}
    fields = {
        "outbox": {"$cond": [none_left, "$$REMOVE", _summary(uuid4())]},
        "in_flight": {"$cond": [{"$in": [True, "$events.publishes"]}, True, "$$REMOVE"]},
        "purge": {"$cond": [buried_and_acknowledged, True, "$$REMOVE"]},
        "events": {"$cond": [none_left, "$$REMOVE", "$events"]},
    }
    return [{"$set": fields}]


class MongoCarrier(NamedTuple):
    """A document as a claimer has read it: its collection, its id, and its stamp at that time."""

    collection: str
    key: Any
    stamp: UUID


def waiting_in(collection: str, found: Document) -> list[Waiting]:
    carrier = MongoCarrier(collection, found["_id"], found["outbox"]["stamp"])
    return [
        Waiting(carrier, _event(kept), kept["attempts"], kept["due_at"], kept["lease_until"])
        for kept in found["events"]
        if kept["dead_lettered_at"] is None
    ]


def dead_letters_in(found: Document) -> list[DeadLetter]:
    return [
        DeadLetter(_event(kept), kept["attempts"], kept["reason"], moment(kept["dead_lettered_at"]))
        for kept in found["events"]
        if kept["dead_lettered_at"] is not None
    ]


def _with_event(event: Event) -> Document:
    return {"$concatArrays": [{"$ifNull": ["$events", []]}, [{"$literal": kept(event)}]]}


def _summary(stamp: UUID) -> Document:
    waiting = {"$filter": {"input": "$events", "as": "this", "cond": {"$eq": ["$$this.dead_lettered_at", None]}}}
    dead = {"$filter": {"input": "$events", "as": "this", "cond": {"$ne": ["$$this.dead_lettered_at", None]}}}
    # An event that was postponed on purpose waits from the time it is due.
    since = {"$cond": [{"$eq": ["$$this.reason", None]}, "$$this.happened_at", "$$this.due_at"]}
    fields = {
        "stamp": stamp,
        "unsent": {"$size": "$$waiting"},
        "since": {"$min": {"$map": {"input": "$$waiting", "as": "this", "in": since}}},
        "due_at": {"$let": {"vars": {"head": {"$first": "$$waiting"}}, "in": "$$head.due_at"}},
        "lease_until": {"$let": {"vars": {"head": {"$first": "$$waiting"}}, "in": "$$head.lease_until"}},
        "dead_lettered": {"$size": "$$dead"},
        "dead_lettered_since": {"$ifNull": [{"$min": "$$dead.dead_lettered_at"}, "$$REMOVE"]},
    }
    return {"$let": {"vars": {"waiting": waiting, "dead": dead}, "in": fields}}


def _event(kept: Document) -> Event:
    return Event(
        id=kept["id"],
        type=kept["type"],
        aggregate=kept["aggregate"],
        happened_at=moment(kept["happened_at"]),
        payload=kept["payload"],
        traceparent=kept.get("traceparent", ""),
    )
