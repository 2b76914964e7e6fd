"""What must be true of one seller's part of an order, given everything that happened to it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from repositories.relational.statement_runner import AnyRow


class Part(NamedTuple):
    """A sub-order with what belongs to it. `sent` are the lines of its shipments, `moved` its refund transfers."""

    row: AnyRow
    lines: Sequence[AnyRow]
    shipments: Sequence[AnyRow]
    sent: Sequence[AnyRow]
    refunds: Sequence[AnyRow]
    moved: Sequence[AnyRow]

    @property
    def is_paid(self) -> bool:
        return self.row.paid_at is not None

    @property
    def is_ended(self) -> bool:
        """Before it was paid: nothing of it is held, reserved or sold."""
        return self.row.ended_at is not None and not self.is_paid

    @property
    def steps(self) -> int:
        """Changes of it since it was placed. A refusal of what is paid is one with its refund."""
        return self.is_paid + self.is_ended + len(self.shipments) + len(self.refunds)

    @property
    def times(self) -> set[datetime | None]:
        """When they were."""
        happened = {one.created_at for one in (*self.shipments, *self.refunds)}
        return happened | {time for time in (self.row.paid_at, self.row.ended_at) if time}

    def problems(self, order: AnyRow) -> Iterator[str]:
        yield from self._own(order)
        yield from self._state()
        yield from self._units()
        yield from self._refunded(order)

    def _own(self, order: AnyRow) -> Iterator[str]:
        row, share = self.row, sum(line.unit_price * line.quantity for line in self.lines)
        if (row.buyer_id, row.currency, row.created_at) != (order.buyer_id, order.currency, order.created_at):
            yield "is of another buyer, currency or time than its order"
        if any(line.created_at != order.created_at for line in self.lines):
            yield "has a line of another time than its order"
        if row.total != share or not self.lines:
            yield f"its total is {row.total}, its lines make {share}"
        if row.version != 1 + self.steps:
            yield f"is at version {row.version} after {self.steps} steps"
        if row.moved_at not in (self.times or {None}):
            yield f"was not moved at {row.moved_at}"

    def _state(self) -> Iterator[str]:
        row = self.row
        if row.state != self._made():
            yield f"is {row.state} instead of {self._made()}"
        refused = row.state == "refused"
        if refused != (row.reason is not None) or (row.ended_by is not None and row.ended_at is None):
            yield f"is {row.state}, and for a reason or by a request that does not fit"
        if refused and self.is_paid:
            last = [(one.id, one.created_at, one.reason) for one in self.refunds if one.id == row.ended_by]
            if last != [(row.ended_by, row.ended_at, row.reason)]:
                yield "was refused without a refund, or with another"
        elif row.ended_at is not None and self.is_paid:
            yield "was paid and ended"

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
            yield f"{sum(said.values())} units are fulfilled, its shipments have {sent.total()} or others"
        if {one.shipment_id for one in self.sent} != {one.id for one in self.shipments}:
            yield "has a shipment of nothing"
        back, brought = sum(line.returned for line in self.lines), sum(one.units for one in self.refunds)
        if back != brought:
            yield f"{back} units came back, its refunds say {brought}"
        for one in self.refunds:
            if bool(one.restock) != (one.units > 0):
                yield f"refund {one.id} restocks {one.units} units"
        if (self.sent or back) and not self.is_paid:
            yield "has units that were sent or came back before it was paid"

    def _refunded(self, order: AnyRow) -> Iterator[str]:
        given = sum(one.amount for one in self.moved)
        if self.row.refunded != given or given > self.row.total:
            yield f"says {self.row.refunded} of {self.row.total} were refunded, its transfers make {given}"
        if any(
            (one.credit, one.currency, one.phase) != (order.buyer_id, order.currency, "single") for one in self.moved
        ):
            yield "has a refund that did not go to its buyer, or in another currency"
        moved: dict[Any, AnyRow] = {one.id: one for one in self.moved}
        for one in self.refunds:
            made = moved.pop(one.id, None)
            if made is not None and made.created_at != one.created_at:
                yield f"refund {one.id} is not of when its transfer is"
            elif made is None and not one.restock and one.id != self.row.ended_by:
                yield f"refund {one.id} has no transfer"
        for missing in moved:
            yield f"transfer {missing} has no refund"
