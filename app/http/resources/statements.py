"""`/wallet/statement`: a wallet's entries in a period, with the balances at its ends, as JSON or CSV."""

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import Response

from app.container import Container
from app.errors import BadRequest
from app.http.edge import answers
from app.http.edge.blueprint import Blueprint, budget, private
from app.http.edge.deps import caller, container, cursors
from app.http.edge.fields import Instant, Moment
from app.http.edge.paging import PageQuery, page_of
from app.http.edge.shapes import MoneyShape
from app.http.resources.export import download
from app.http.resources.wallet import CurrencyQuery, EntrySchema, entry_items, only_currency
from app.ids import EPOCH, MICROSECOND
from app.services.pages.fragments import moment
from repositories.records.money import Entry, Money

blp = Blueprint("statements", "Statements of wallets")

CSV = "text/csv"
ROWS = 1000
COLUMNS = ("at", "kind", "other", "amount", "balance", "currency", "memo", "reference", "order_id", "transfer_id")
# First characters of a text that spreadsheets would read as a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


class PeriodQuery(CurrencyQuery):
    since = Instant(
        data_key="from", load_default=None, metadata={"description": "inclusive; default: from the beginning"}
    )
    until = Instant(data_key="to", load_default=None, metadata={"description": "exclusive; default: now"})


class StatementQuery(PeriodQuery, PageQuery): ...


StatementPage = page_of(
    EntrySchema,
    "StatementPage",
    **{"from": Moment(required=True), "to": Moment(required=True)},
    opening=ma.fields.Nested(MoneyShape, required=True),
    closing=ma.fields.Nested(MoneyShape, required=True),
)


@blp.get("/wallet/statement")
@private
@budget(relational=8, sessions=1)
@blp.arguments(StatementQuery, location="query")
@blp.response(200, StatementPage)
def get_statement(query: dict[str, Any]) -> Response:
    """Get the statement of a period: its entries, oldest first, and the opening and closing balance.

    A statement never changes. A period that ends in the future is refused.
    """
    owner, limit = caller(), query["limit"]
    scope = f"statement:{owner}:{query['currency']}:{query['since']}:{query['until']}"
    after, micros = cursors().read(scope, query["cursor"]) if query["cursor"] else (0, None)
    period = Period(container(), owner, query, None if micros is None else EPOCH + micros * MICROSECOND)
    found = period.entries(after, limit + 1)
    last = [found[limit - 1].sequence, (period.until - EPOCH) // MICROSECOND] if len(found) > limit else None
    ends = {
        "from": moment(period.since),
        "to": moment(period.until),
        "opening": period.opening,
        "closing": period.closing,
    }
    return answers.page(entry_items(found[:limit], period.currency), cursors().issue(scope, last), **ends)


@blp.get("/wallet/statement.csv")
@private
@budget(relational=7, sessions=1)
@blp.arguments(PeriodQuery, location="query")
@blp.response(200, {"type": "string"}, content_type=CSV, description="one row per entry, between two rows of balances")
@blp.raises(503)
def get_statement_csv(query: dict[str, Any]) -> Response:
    """Download the statement of a period as CSV with a header. Amounts are in minor units.

    The first and the last row are of kind `opening` and `closing`. A text that a spreadsheet would read as a formula is
    prefixed with an apostrophe. A server process sends at most two files (exports and CSV statements) at once and
    answers others with 503: retry after `Retry-After` seconds.
    """
    period = Period(container(), caller(), query)
    return download(map(_lines, period.rows()), CSV, f"statement-{period.currency}.csv", often=2)


class Period:
    """The entries of `owner` in the query's period, and the balances at its ends. Raises `BadRequest`.

    `until` is the end of the period if the query has none.
    """

    def __init__(self, of: Container, owner: UUID, query: dict[str, Any], until: datetime | None = None) -> None:
        currency = query["currency"] or only_currency()
        if currency is None:
            raise BadRequest("currency: the wallet is empty, so it must be named", code="bad_query")
        since, until = query["since"], query["until"] or until
        if since and until and since > until:
            raise BadRequest("from: must not be later than to", code="bad_query")
        # There are no entries before the epoch.
        until = until and max(until, EPOCH + MICROSECOND)
        seen = of.money.wallets.await_all_before(owner, currency, until and until - MICROSECOND)
        self.currency, self.since, self.until = currency, max(since or EPOCH, EPOCH), until or seen + MICROSECOND
        if self.since > self.until:
            raise BadRequest("from: must not be later than to", code="bad_query")
        self._ledger, self._accounts, self._owner = of.stores.relational.ledger, of.stores.relational.accounts, owner
        self.opening, self.closing = (
            Money(self._ledger.balance_at(owner, currency, end - MICROSECOND), currency)
            for end in (self.since, self.until)
        )

    def entries(self, after: int, limit: int) -> list[Entry]:
        period = {"since": self.since, "until": self.until}
        return self._ledger.statement(self._owner, self.currency, **period, after=after, limit=limit)

    def rows(self) -> Iterator[list[tuple[object, ...]]]:
        """The rows of the CSV, page by page."""
        yield [COLUMNS, self._balance(self.since, "opening", self.opening)]
        after = 0
        while page := self.entries(after, ROWS):
            others = self._accounts.get({entry.other for entry in page})
            yield [self._row(entry, others[entry.other].handle if entry.other in others else "") for entry in page]
            after = page[-1].sequence
        yield [self._balance(self.until, "closing", self.closing)]

    def _balance(self, at: datetime, kind: str, balance: Money) -> tuple[object, ...]:
        return moment(at), kind, "", "", balance.amount, self.currency, "", "", "", ""

    def _row(self, entry: Entry, other: str) -> tuple[object, ...]:
        words = (entry.memo, entry.reference if entry.amount < 0 else None)
        texts = (f"'{word}" if word and word.startswith(FORMULA) else word for word in words)
        own = (moment(entry.at), entry.kind, other, entry.amount, entry.balance, self.currency)
        return *own, *texts, entry.order_id, entry.transfer_id


def _lines(rows: Iterable[tuple[object, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
