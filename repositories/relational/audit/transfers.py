"""Compares every transfer with its digest, its entries, the hold that it ends, and the list of open holds."""

from collections.abc import Collection, Iterable, Iterator
from uuid import UUID

from sqlalchemy import bindparam, exists, func, select

from repositories.money_records import Finding
from repositories.relational.audit.walking import walk
from repositories.relational.money.digests import digest_of
from repositories.relational.money.ledger import TRANSFER_COLUMNS, to_transfer
from repositories.relational.schema.columns import IDS, among
from repositories.relational.schema.money_tables import entries, open_holds, transfers
from repositories.relational.statement_runner import AnyRow, Runner

# What the end of a hold has of the hold.
_INHERITED = ("kind", "debit", "credit", "currency", "order_id")
_debit, _credit, _hold, _end = (table.alias() for table in (entries, entries, transfers, transfers))
_its = transfers.c
_OPEN = tuple(column.name for column in open_holds.c)
_SELECTED = (
    select(
        *TRANSFER_COLUMNS,
        _its.digest,
        _its.debit_leg,
        _its.credit_leg,
        _debit.c.amount.label("left"),
        _credit.c.amount.label("came"),
        _debit.c.currency.label("left_in"),
        _credit.c.currency.label("came_in"),
        select(func.count()).where(entries.c.transfer_id == _its.id).scalar_subquery().label("legs"),
        *(_hold.c[name].label(f"hold_{name}") for name in (*_INHERITED, "phase", "amount")),
        *(open_holds.c[name].label(f"open_{name}") for name in _OPEN),
        exists().where(_end.c.hold_id == _its.id).label("ended"),
    )
    .outerjoin(_debit, (_debit.c.transfer_id == _its.id) & (_debit.c.owner == _its.debit))
    .outerjoin(_credit, (_credit.c.transfer_id == _its.id) & (_credit.c.owner == _its.credit))
    .outerjoin(_hold, _hold.c.id == _its.hold_id)
    .outerjoin(open_holds, open_holds.c.id == _its.id)
)
_TRANSFERS = walk(_SELECTED, _its.id)
_SOME = _SELECTED.where(among(_its.id, bindparam("ids", type_=IDS)))
_STRAY = walk(
    select(open_holds.c.id, transfers.c.id.label("transfer_id")).outerjoin(
        transfers, transfers.c.id == open_holds.c.id
    ),
    open_holds.c.id,
)


def audit_transfers(runner: Runner) -> Iterator[Finding]:
    yield from _findings(_TRANSFERS.rows(runner))
    for row in _STRAY.rows(runner):
        if row.transfer_id is None:
            yield Finding(f"open hold {row.id}", "is no transfer")


def audit_some_transfers(runner: Runner, ids: Collection[UUID]) -> Iterator[Finding]:
    return _findings(runner.rows(_SOME, {"ids": list(ids)}))


def _findings(rows: Iterable[AnyRow]) -> Iterator[Finding]:
    for row in rows:
        for problem in _problems(row):
            yield Finding(f"transfer {row.id}", problem)


def _problems(row: AnyRow) -> Iterator[str]:
    transfer = to_transfer(row[: len(TRANSFER_COLUMNS)])
    if digest_of(transfer) != bytes(row.digest):
        yield "is not what its digest was made of"
    moves = row.phase in {"single", "post"}
    legs = (row.left, row.left_in, row.came, row.came_in, row.legs)
    wanted = (-row.amount, row.currency, row.amount, row.currency, 2) if moves else (None, None, None, None, 0)
    if legs != wanted or (row.debit_leg, row.credit_leg) != ((row.debit, row.credit) if moves else (None, None)):
        yield f"has {row.legs} entries that do not match it"
    is_open = row.phase == "hold" and not row.ended
    if any(getattr(row, f"open_{name}") != (getattr(row, name) if is_open else None) for name in _OPEN):
        yield "does not match the list of open holds"
    if row.hold_id is not None:
        yield from _end_problems(row)


def _end_problems(row: AnyRow) -> Iterator[str]:
    if row.hold_phase != "hold":
        yield "ends a hold that is not there"
    elif any(getattr(row, f"hold_{name}") != getattr(row, name) for name in _INHERITED):
        yield "is not between the two, or not of the order, that the hold was of"
    elif row.amount > row.hold_amount or (row.phase != "post" and row.amount != row.hold_amount):
        yield f"ends a hold of {row.hold_amount} by {row.amount}"
