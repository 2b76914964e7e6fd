"""The outbox over all documents in MongoDB that contain unsent events."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pymongo
from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.errors import PyMongoError

from repositories.documents.mongo.client import Document, MongoConnection
from repositories.documents.mongo.comments import clear_comments
from repositories.documents.mongo.demotion import follows_primary
from repositories.documents.mongo.errors import is_locked
from repositories.documents.mongo.events import MongoCarrier, acknowledged, changed, dead_letters_in, waiting_in
from repositories.documents.mongo.sharding import among
from repositories.documents.outbox_order import Waiting, in_outbox_order
from repositories.documents.times import micros, moment
from repositories.outbox import Backlog, Claim, DeadLetter, Outbox

CARRIERS = ("posts", "comments", "products")
EVER = {"$gte": -(2**63)}
WAITING = {"outbox.due_at": EVER}
SINCE = "outbox.dead_lettered_since"
DEAD_LETTERED = {SINCE: EVER}
UNSENT_TOTAL = {"_id": None, "unsent": {"$sum": "$outbox.unsent"}, "oldest": {"$min": "$outbox.since"}}
DEAD_LETTER_TOTAL = {"_id": None, "dead_lettered": {"$sum": "$outbox.dead_lettered"}}
# Shares of a call's timeout: for one bulk write of all documents of a claim, and after that for each single write.
TOGETHER_SHARE, SINGLE_SHARE = 0.25, 0.05
UNLEASED = {"lease": None, "lease_until": None}


@follows_primary
class MongoOutbox(Outbox):
    def __init__(self, connection: MongoConnection) -> None:
        self._connection = connection

    def now(self) -> None:
        return None

    def claim(self, *, now: datetime, lease_until: datetime, limit: int) -> list[Claim]:
        if limit < 1:
            return []
        lease = uuid4()
        with self._connection.calling():
            claimable = in_outbox_order(self._due(micros(now), limit), now=micros(now), limit=limit)
            won = self._lease(claimable, {"lease": lease, "lease_until": micros(lease_until)})
        return [Claim(one.event, one.attempts, lease, one.document) for one in claimable if one.event.id in won]

    def acknowledge(self, claims: Sequence[Claim]) -> None:
        with self._connection.calling():
            for carrier, some in self._by_carrier(claims):
                ids, which = _ids_and_filter(carrier, some)
                if carrier.update_many(which, acknowledged(ids)).matched_count:
                    self._purge(carrier)

    def release(self, claims: Sequence[Claim]) -> None:
        by_lease: dict[UUID, list[Claim]] = {}
        for claim in claims:
            by_lease.setdefault(claim.lease, []).append(claim)
        with self._connection.calling():
            for lease, leased in by_lease.items():
                for carrier, some in self._by_carrier(leased):
                    ids, which = _ids_and_filter(carrier, some)
                    carrier.update_many(which, changed(ids, UNLEASED, lease=lease))

    def postpone(self, claim: Claim, *, due: datetime, attempts: int, reason: str | None = None) -> None:
        self._give_back(claim, {"due_at": micros(due), "attempts": attempts, "reason": reason})

    def dead_letter(self, claim: Claim, *, reason: str, attempts: int, now: datetime) -> None:
        self._give_back(claim, {"dead_lettered_at": micros(now), "reason": reason, "attempts": attempts})

    def dead_letters(self, *, limit: int) -> list[DeadLetter]:
        if limit < 1:
            return []
        with self._connection.calling():
            found = [
                event
                for carrier in self._carriers()
                for document in carrier.find(DEAD_LETTERED, {"events": 1})
                .sort("outbox.dead_lettered_since")
                .limit(limit)
                for event in dead_letters_in(document)
            ]
        return sorted(found, key=lambda dead: (dead.dead_lettered_at, dead.event.id))[:limit]

    def replay(self, event_ids: Sequence[UUID] | None, *, now: datetime) -> int:
        with self._connection.calling():
            return sum(_replay(carrier, event_ids, micros(now)) for carrier in self._carriers())

    def backlog(self) -> Backlog:
        with self._connection.calling():
            sums = [
                total
                for carrier in self._carriers()
                for which, what in ((WAITING, UNSENT_TOTAL), (DEAD_LETTERED, DEAD_LETTER_TOTAL))
                for total in carrier.aggregate([{"$match": which}, {"$group": what}])
            ]
        oldest = [total["oldest"] for total in sums if "oldest" in total]
        return Backlog(
            unsent=sum(total.get("unsent", 0) for total in sums),
            dead_lettered=sum(total.get("dead_lettered", 0) for total in sums),
            oldest=moment(min(oldest)) if oldest else None,
        )

    def _carriers(self) -> list[Collection[Document]]:
        return [self._connection.collection(name) for name in CARRIERS]

    def _by_carrier(self, claims: Sequence[Claim]) -> Iterator[tuple[Collection[Document], list[Claim]]]:
        for name in CARRIERS:
            if some := [claim for claim in claims if claim.place.collection == name]:
                yield self._connection.collection(name), some

    def _due(self, now: int, limit: int) -> Iterator[list[Waiting]]:
        free = {"outbox.due_at": {"$lte": now}, "outbox.lease_until": {"$not": {"$gt": now}}}
        for carrier in self._carriers():
            due = carrier.find(free, {"events": 1, "outbox.stamp": 1})
            for found in due.sort([("outbox.due_at", 1), ("_id", 1)]).limit(limit):
                yield waiting_in(carrier.name, found)

    def _lease(self, claimable: Sequence[Waiting], lease: Document) -> set[UUID]:
        """Lease the events of documents that have not changed since they were read. Returns the ids of these events."""
        won: set[UUID] = set()
        for carrier in self._carriers():
            # Grouped by key, not by stamp: documents changed by one statement have equal stamps.
            seen: dict[str, tuple[MongoCarrier, list[UUID]]] = {}
            for at, event_id in ((one.document, one.event.id) for one in claimable):
                if at.collection == carrier.name:
                    seen.setdefault(str(at.key), (at, []))[1].append(event_id)
            if not seen:
                continue
            updates = [
                UpdateOne({"_id": at.key, "outbox.stamp": at.stamp}, changed(ids, lease)) for at, ids in seen.values()
            ]
            sent = {event_id for _, ids in seen.values() for event_id in ids}
            all_of_them = self._write(carrier, updates) == len(seen)
            won |= sent if all_of_them else sent & _held(carrier, [at for at, _ in seen.values()], lease["lease"])
        return won

    def _write(self, carrier: Collection[Document], updates: Sequence[UpdateOne]) -> int:
        """Write all at once. If a transaction has locked a document, write one by one and skip locked documents.

        A killed process leaves its transaction open, and a write to a document that it has locked waits for the end of
        the transaction. Returns how many documents are known to match; after single writes this is 0.
        """
        found = self._write_free(carrier, updates, TOGETHER_SHARE)
        if found is None:
            for update in updates:
                self._write_free(carrier, [update], SINGLE_SHARE)
        return found or 0

    def _write_free(self, carrier: Collection[Document], updates: Sequence[UpdateOne], share: float) -> int | None:
        """The number of documents that match. None if they are locked for longer than this share of the timeout."""
        try:
            with pymongo.timeout(self._connection.seconds * share):
                return carrier.bulk_write(updates, ordered=False).matched_count
        except PyMongoError as error:
            if not is_locked(error):
                raise
            return None

    def _give_back(self, claim: Claim, changes: Document) -> None:
        stages = changed([claim.event.id], changes | UNLEASED, lease=claim.lease)
        carrier, key, _stamp = claim.place
        which = {"_id": key, **_event(claim.event.id, lease=claim.lease)}
        with self._connection.calling():
            self._connection.collection(carrier).update_one(which, stages)

    def _purge(self, carrier: Collection[Document]) -> None:
        """Remove tombstones whose events are all acknowledged. The comments of a post are removed before the post."""
        if carrier.name == "posts":
            for post in carrier.find({"purge": True}, {"deleted_at": 1}):
                clear_comments(self._connection, post["_id"], deleted_at=post["deleted_at"])
                carrier.delete_one({"_id": post["_id"], "purge": True})
        else:
            carrier.delete_many({"purge": True})


def _ids_and_filter(carrier: Collection[Document], claims: Sequence[Claim]) -> tuple[list[UUID], Document]:
    """The ids of the claimed events, and the filter of the documents that contain them."""
    ids = [claim.event.id for claim in claims]
    return ids, {**among(carrier.name, [claim.place.key for claim in claims]), "events.id": {"$in": ids}}


def _held(carrier: Collection[Document], seen: Sequence[MongoCarrier], lease: UUID) -> set[UUID]:
    which = {**among(carrier.name, [at.key for at in seen]), "events.lease": lease}
    return {kept["id"] for found in carrier.find(which, {"events.id": 1}) for kept in found["events"]}


def _event(event_id: UUID, **fields: Any) -> Document:
    """A filter for the document that contains this event with these fields."""
    return {"events": {"$elemMatch": {"id": event_id, **fields}}}


def _replay(carrier: Collection[Document], event_ids: Sequence[UUID] | None, now: int) -> int:
    which = DEAD_LETTERED if event_ids is None else {"events.id": {"$in": list(event_ids)}}
    fresh = {"dead_lettered_at": None, "reason": None, "attempts": 0, "due_at": now}
    updates = [
        UpdateOne(
            {"_id": document["_id"], **_event(dead.event.id, dead_lettered_at={"$ne": None})},
            changed([dead.event.id], fresh),
        )
        for document in carrier.find(which, {"events": 1})
        for dead in dead_letters_in(document)
        if event_ids is None or dead.event.id in event_ids
    ]
    return carrier.bulk_write(updates).modified_count if updates else 0
