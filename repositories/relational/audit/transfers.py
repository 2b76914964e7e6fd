"""Compares every transfer with its digest, its entries, the hold that it ends, and the list of open holds."""

from collections.abc import Collection, Iterable, Iterator
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, and_, bindparam, case, exists, func, or_, select

from repositories.records.money import PROVIDER, Finding
from repositories.records.payments import DEPOSIT, NEVER, PAYOUT
from repositories.relational.audit.walking import walk
from repositories.relational.money.digests import digest_of
from repositories.relational.money.ledger import TRANSFER_COLUMNS, to_transfer
from repositories.relational.schema.columns import IDS
from repositories.relational.schema.functions import among
from repositories.relational.schema.money_tables import entries, open_holds, transfers
from repositories.relational.statement_runner import AnyRow, Runner

# The columns in which the end of a hold equals the hold.
_INHERITED = ("kind", "debit", "credit", "currency", "order_id")
_debit, _credit, _hold, _end = (table.alias() for table in (entries, entries, transfers, transfers))
_its = transfers.c


def _equal(other: FromClause, *names: str) -> ColumnElement[bool]:
    return and_(*(other.c[name].is_not_distinct_from(_its[name]) for name in names))


# Compared in the database, so that less is sent.
_SELECTED = (
    select(
        *TRANSFER_COLUMNS,
        _its.digest,
        _its.order_head,
        _its.hold_sequence,
        and_(
            *(_its.debit_leg == _its.debit, _its.credit_leg == _its.credit),
            *(_debit.c.amount == -_its.amount, _credit.c.amount == _its.amount),
            *(_debit.c.currency == _its.currency, _credit.c.currency == _its.currency),
        ).label("moved"),
        or_(_its.debit_leg.is_not(None), _its.credit_leg.is_not(None)).label("has_legs"),
        select(func.count()).where(entries.c.transfer_id == _its.id).scalar_subquery().label("legs"),
        and_(_hold.c.phase == "hold", _equal(_hold, *_INHERITED)).label("of_hold"),
        case((_its.phase == "post", _its.amount <= _hold.c.amount), else_=_its.amount == _hold.c.amount).label(
            "within_hold"
        ),
        _hold.c.amount.label("hold_amount"),
        open_holds.c.id.is_not(None).label("is_open"),
        _equal(open_holds, *(column.name for column in open_holds.c)).label("as_open"),
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
            yield Finding(f"open hold {row.id}", "has no transfer")


def audit_some_transfers(runner: Runner, ids: Collection[UUID]) -> Iterator[Finding]:
    return _findings(runner.rows(_SOME, {"ids": list(ids)}))


def _findings(rows: Iterable[AnyRow]) -> Iterator[Finding]:
    for row in rows:
        for problem in _problems(row):
            yield Finding(f"transfer {row.id}", problem)


def _problems(row: AnyRow) -> Iterator[str]:
    transfer = to_transfer(row[: len(TRANSFER_COLUMNS)])
    if digest_of(transfer, row.order_head) != bytes(row.digest):
        yield "does not match its digest"
    moves = row.phase in {"single", "post"}
    if not (row.moved and row.legs == 2 if moves else not (row.has_legs or row.legs)):
        yield f"has {row.legs} entries that do not match it"
    if moves != (row.hold_sequence is None):
        yield "has a wrong number in the chain of holds"
    if not moves and (row.memo, row.reference) != (None, None):
        yield "has a memo or reference, but moves no money"
    yield from _as_hold(row)
    yield from _as_payment(row)


def _as_hold(row: AnyRow) -> Iterator[str]:
    if (row.phase == "hold") != (row.expires_at is not None):
        yield f"is a {row.phase} with the expiry {row.expires_at}"
    if row.phase == "hold" and not row.ended:
        if not row.as_open:
            yield "does not match the list of open holds"
    elif row.is_open:
        yield "is on the list of open holds, but not an open hold"
    if row.hold_id is not None and not row.of_hold:
        yield "ends a hold that is missing or of other accounts"
    elif row.hold_id is not None and not row.within_hold:
        yield f"ends a hold of {row.hold_amount} with {row.amount}"


def _as_payment(row: AnyRow) -> Iterator[str]:
    """Check that deposits and payouts, and nothing else, have the provider on one side."""
    if (row.kind == DEPOSIT) != (row.debit == PROVIDER) or (row.kind == DEPOSIT and row.phase != "single"):
        yield "does not have the sides, kind and phase of a deposit from the provider"
    if (row.kind == PAYOUT) != (row.credit == PROVIDER) or (row.kind == PAYOUT and row.phase in {"single", "expire"}):
        yield "does not have the sides, kind and phase of a payout to the provider"
    elif row.kind == PAYOUT and row.phase == "hold" and row.expires_at != NEVER:
        yield f"expires at {row.expires_at}, although its money may have been paid out"
    elif row.kind == PAYOUT and row.hold_id is not None and row.amount != row.hold_amount:
        yield f"pays out {row.amount} of the {row.hold_amount} held"
