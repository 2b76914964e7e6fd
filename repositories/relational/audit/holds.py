"""Follows each account's chain of holds: the transfers that reserve or free its money without moving it."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from sqlalchemy import BigInteger, Select, bindparam, select, tuple_

from repositories.records.chain_heads import Head
from repositories.records.money import Finding
from repositories.relational.audit.walking import NIL, Key, key_of, read_on
from repositories.relational.money.digests import START, chain
from repositories.relational.schema.columns import ID, LIMIT
from repositories.relational.schema.money_tables import transfers
from repositories.relational.statement_runner import AnyRow, Runner

_its = transfers.c
_chain = (_its.debit, _its.currency, _its.hold_sequence)
_place = tuple_(bindparam("owner", type_=ID), bindparam("currency"), bindparam("sequence", type_=BigInteger()))
HOLDS: Select[Any] = (
    select(
        _its.debit.label("owner"),
        _its.currency,
        _its.hold_sequence.label("sequence"),
        _its.id.label("transfer_id"),
        _its.order_id,
        _its.digest,
    )
    .where(_its.hold_sequence.is_not(None), tuple_(*_chain) > _place)
    .order_by(*_chain)
    .limit(LIMIT)
)


class Holds:
    """Reads the chains side by side with the accounts. Call `of` in the order of the accounts."""

    def __init__(self, runner: Runner) -> None:
        rows = read_on(runner, HOLDS, {"owner": NIL, "currency": "", "sequence": 0})
        self._chains = groupby(rows, key=key_of)
        self._next = next(self._chains, None)

    def of(self, account: AnyRow, through: Head | None) -> Iterator[Finding]:
        yield from self.until(key_of(account))
        if self._next and self._next[0] == key_of(account):
            yield from hold_findings(account, self._next[1], through=through)
            self._next = next(self._chains, None)
        else:
            yield from hold_findings(account, (), through=through)

    def until(self, key: Key | None = None) -> Iterator[Finding]:
        """Report chains without an account, up to the account `key`, or to the end."""
        while self._next and (key is None or self._next[0] < key):
            (owner, currency), rows = self._next
            yield Finding(f"ledger account {owner} {currency}", f"is missing, but has {sum(1 for _ in rows)} holds")
            self._next = next(self._chains, None)


def hold_findings(
    account: AnyRow, rows: Iterable[AnyRow], *, after: Head | None = None, through: Head | None = None
) -> Iterator[Finding]:
    """Check one account's chain. `rows` are all its holds, or those after the head `after`."""
    about = f"ledger account {account.owner} {account.currency}"
    number, head = (after.holds, after.holds_head) if after else (0, START)
    is_met = through is None or through.holds == 0
    for row in rows:
        number, head = number + 1, chain(head, bytes(row.digest))
        if row.sequence != number:
            yield Finding(
                f"transfer {row.transfer_id}", f"has number {row.sequence} in the chain of holds instead of {number}"
            )
            number = row.sequence
        if through is not None and number == through.holds:
            is_met = head == through.holds_head
    if through is not None and not is_met:
        yield Finding(about, f"its first {through.holds} holds differ from the anchor")
    if (number, head) != (account.holds, bytes(account.holds_head)):
        yield Finding(about, f"has the head of a chain of {account.holds} holds; the {number} holds make another one")
