"""Checks a sub-order against the rows of everything that happened to it."""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from repositories.relational.money.digests import chain
from repositories.relational.money.order_chain import opening, refunded, shipped, stated
from repositories.relational.statement_runner import AnyRow


def is_of(transfer: AnyRow, heads: Sequence[bytes]) -> bool:
    """Whether the sub-order had one of these heads when the transfer was made. Earlier versions stored none."""
    return transfer.order_head is None or bytes(transfer.order_head) in heads


class PartStep(NamedTuple):
    version: int
    at: datetime
    digest: bytes


class Part(NamedTuple):
    """A sub-order with what belongs to it. `sent` are the lines of its shipments, `moved` its refund transfers, `noted`
    its rows in the chain of all heads.
    """

    row: AnyRow
    lines: Sequence[AnyRow]
    shipments: Sequence[AnyRow]
    sent: Sequence[AnyRow]
    refunds: Sequence[AnyRow]
    moved: Sequence[AnyRow]
    noted: Sequence[AnyRow]

    def history(self) -> list[PartStep]:
        """Its steps in their order, each with the version that it made."""
        units: dict[Any, list[tuple[int, int]]] = {one.id: [] for one in self.shipments}
        for one in self.sent:
            units.setdefault(one.shipment_id, []).append((one.number, one.quantity))
        first = [PartStep(2, self.row.paid_at or self.row.ended_at, step) for step in stated(self.row)]
        sent = [
            PartStep(one.version, one.created_at, shipped(one.id, one.reference, one.created_at, units[one.id]))
            for one in self.shipments
        ]
        back = [
            PartStep(
                *(one.version, one.created_at),
                refunded(one.id, one.reason, restock=bool(one.restock), units=one.units, at=one.created_at),
            )
            for one in self.refunds
        ]
        return sorted([*first, *sent, *back], key=lambda step: step.version)

    def heads(self, order: AnyRow) -> list[bytes]:
        """The heads of its chain, after each version."""
        row = self.row
        first = opening(order.id, order.buyer_id, row.seller_id, order.currency, order.created_at, self.lines)
        return list(itertools.accumulate((step.digest for step in self.history()), chain, initial=first))

    @property
    def is_paid(self) -> bool:
        return self.row.paid_at is not None

    @property
    def is_ended(self) -> bool:
        """Whether it ended before it was paid: nothing of it is held, reserved or sold."""
        return self.row.ended_at is not None and not self.is_paid

    @property
    def steps(self) -> int:
        """The number of steps since it was placed. A refusal after payment is one step with its refund."""
        return self.is_paid + self.is_ended + len(self.shipments) + len(self.refunds)

    def problems(self, order: AnyRow) -> Iterator[str]:
        yield from self._own(order)
        yield from self._chained(order)
        yield from self._state()
        yield from self._units()
        yield from self._refunded(order)

    def _own(self, order: AnyRow) -> Iterator[str]:
        row, share = self.row, sum(line.unit_price * line.quantity for line in self.lines)
        if (row.buyer_id, row.currency, row.created_at) != (order.buyer_id, order.currency, order.created_at):
            yield "has another buyer, currency or time than its order"
        if any(line.created_at != order.created_at for line in self.lines):
            yield "has a line with another time than its order"
        if row.total != share or not self.lines:
            yield f"its total is {row.total}, but that of its lines is {share}"
        if row.version != 1 + self.steps:
            yield f"has version {row.version} after {self.steps} steps"

    def _chained(self, order: AnyRow) -> Iterator[str]:
        steps, heads = self.history(), self.heads(order)
        if [step.version for step in steps] != list(range(2, len(steps) + 2)):
            yield "its steps are not numbered consecutively"
        if self.row.moved_at != (steps[-1].at if steps else None):
            yield f"its last step was not at {self.row.moved_at}"
        if bytes(self.row.head) != heads[-1]:
            yield "does not match the head of the chain of its steps"
        if self.row.noted != max((one.version for one in self.noted), default=0):
            yield f"version {self.row.noted} is not the last version in the chain of all orders"
        for one in self.noted:
            if [bytes(one.head)] != heads[one.version - 1 : one.version]:
                yield f"its version {one.version} differs from that in the chain of all orders"
        versions = {one.id: one.version for one in self.refunds}
        for one in self.moved:
            # A refund's transfer was made before the refund was a step.
            if not is_of(one, heads[versions[one.id] - 2 : versions[one.id] - 1] if one.id in versions else []):
                yield f"transfer {one.id} was made when it had another history"

    def _state(self) -> Iterator[str]:
        row = self.row
        if row.state != self._made():
            yield f"is {row.state} instead of {self._made()}"
        refused = row.state == "refused"
        if refused != (row.reason is not None) or (row.ended_by is not None and row.ended_at is None):
            yield f"is {row.state}, which contradicts its reason or the request that ended it"
        if refused and self.is_paid:
            last = [(one.id, one.created_at, one.reason) for one in self.refunds if one.id == row.ended_by]
            if last != [(row.ended_by, row.ended_at, row.reason)]:
                yield "was refused without a refund, or with a different one"
        elif row.ended_at is not None and self.is_paid:
            yield "was paid, and has ended all the same"

    def _made(self) -> str:
        """The state that follows from what happened."""
        row = self.row
        if row.ended_at is not None:
            return "cancelled" if row.reason is None else "refused"
        if not self.is_paid:
            return "placed"
        if row.refunded == row.total and self.refunds:
            return "refunded"
        if all(line.fulfilled + line.returned >= line.quantity for line in self.lines):
            return "fulfilled"
        return "partly_fulfilled" if self.shipments else "paid"

    def _units(self) -> Iterator[str]:
        sent: Counter[int] = Counter()
        for one in self.sent:
            sent[one.number] += one.quantity
        said = {line.number: line.fulfilled for line in self.lines if line.fulfilled}
        if sent != Counter(said):
            yield f"has {sum(said.values())} units fulfilled, but {sent.total()} or other units in its shipments"
        if {one.shipment_id for one in self.sent} != {one.id for one in self.shipments}:
            yield "has a shipment without lines, or lines without a shipment"
        back, brought = sum(line.returned for line in self.lines), sum(one.units for one in self.refunds)
        if back != brought:
            yield f"has {back} units returned, but {brought} in its refunds"
        for one in self.refunds:
            if bool(one.restock) != (one.units > 0):
                yield f"refund {one.id} has restock={bool(one.restock)}, but {one.units} units"
        if (self.sent or back) and not self.is_paid:
            yield "has units that were sent or returned, but was not paid"

    def _refunded(self, order: AnyRow) -> Iterator[str]:
        given = sum(one.amount for one in self.moved)
        if self.row.refunded != given or given > self.row.total:
            yield f"has {self.row.refunded} of {self.row.total} refunded, but refund transfers of {given}"
        if any(
            (one.credit, one.currency, one.phase) != (order.buyer_id, order.currency, "single") for one in self.moved
        ):
            yield "has a refund that did not go to its buyer, or of another phase or currency"
        moved: dict[Any, AnyRow] = {one.id: one for one in self.moved}
        for one in self.refunds:
            made = moved.pop(one.id, None)
            if made is not None and made.created_at != one.created_at:
                yield f"refund {one.id} has another time than its transfer"
            elif made is None and not one.restock and one.id != self.row.ended_by:
                yield f"refund {one.id} has no transfer"
        for missing in moved:
            yield f"transfer {missing} has no refund"
