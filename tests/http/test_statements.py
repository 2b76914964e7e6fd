"""Statements of wallets over HTTP."""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.ids import MICROSECOND
from app.services.pages.fragments import moment
from tests.apps import RELATIONAL, Person, System

pytestmark = pytest.mark.parametrize("settings", RELATIONAL, indirect=True)
PATH = "/wallet/statement"


@pytest.fixture
def ada(system: System) -> Person:
    """A person with a deposit of 100 and four transfers to others."""
    system.person("bob")
    ada = system.person().rich(100)
    for amount, memo in ((1, None), (2, "=HYPERLINK(1)"), (3, 'Said "a, b"\nand c'), (4, "plain")):
        body = {"to": "bob", "amount": {"amount": amount, "currency": "EUR"}, "memo": memo, "reference": "17"}
        ada.pay("/wallet/transfers", body)
    return ada


def times(ada: Person) -> list[str]:
    """The times of the entries, oldest first."""
    return [entry["at"] for entry in ada.get("/wallet/entries")["items"]][::-1]


def sums(page: Any) -> tuple[int, list[int], int]:
    return page["opening"]["amount"], [e["amount"]["amount"] for e in page["items"]], page["closing"]["amount"]


def rows(ada: Person, **query: Any) -> list[dict[str, str]]:
    answer = ada.send("GET", f"{PATH}.csv", query_string=query)
    assert (answer.status_code, answer.content_type) == (200, "text/csv; charset=utf-8")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="statement-EUR.csv"'
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def test_a_statement_has_opening_and_closing_balances(ada: Person) -> None:
    at = times(ada)
    whole = ada.get(PATH)
    assert sums(whole) == (0, [100, -1, -2, -3, -4], 90)
    assert (whole["from"], whole["to"] > at[-1]) == ("1970-01-01T00:00:00.000000Z", True)
    assert whole["items"] == ada.get("/wallet/entries")["items"][::-1]
    period: Any = {"from": at[1], "to": at[4]}
    assert sums(ada.get(PATH, **period)) == (100, [-1, -2, -3], 94)
    assert ada.get(PATH, **period) == ada.get(PATH, **period, currency="EUR")
    assert sums(ada.get(PATH, currency="USD")) == (0, [], 0)


def test_every_page_has_the_balances_of_the_whole(ada: Person) -> None:
    first = ada.get(PATH, limit=3)
    ada.rich(7)
    second = ada.get(PATH, limit=3, cursor=first["next"])
    assert (sums(first), sums(second)) == ((0, [100, -1, -2], 90), (0, [-3, -4], 90))
    assert (first["to"], second["next"]) == (second["to"], None)
    assert ada.get(PATH, 400, cursor=first["next"], currency="EUR")["code"] == "bad_cursor"


def test_csv_has_the_same_entries(ada: Person) -> None:
    at = times(ada)
    whole = rows(ada)
    assert [row["kind"] for row in whole] == ["opening", "deposit", *["transfer"] * 4, "closing"]
    assert [row["balance"] for row in whole] == ["0", "100", "99", "97", "94", "90", "90"]
    assert [row["amount"] for row in whole] == ["", "100", "-1", "-2", "-3", "-4", ""]
    assert [row["memo"] for row in whole][2:6] == ["", "'=HYPERLINK(1)", 'Said "a, b"\nand c', "plain"]
    assert {(row["other"], row["reference"], row["currency"]) for row in whole[2:6]} == {("bob", "17", "EUR")}
    assert [row["at"] for row in whole[1:6]] == at
    part = rows(ada, **{"from": at[1], "to": at[4]})
    assert [row["balance"] for row in part] == ["100", "99", "97", "94", "94"]


def test_wrong_and_empty_periods(ada: Person, system: System) -> None:
    at = times(ada)
    tomorrow = moment(datetime.now(UTC) + timedelta(days=1))
    query: Any
    for query in ({"to": tomorrow}, {"from": tomorrow}, {"from": at[2], "to": at[1]}):
        for path in (PATH, f"{PATH}.csv"):
            assert ada.get(path, 400, **query)["code"] == "bad_query"
    assert ada.get(PATH, 400, **{"from": "yesterday"})["code"] == "bad_query"
    assert system.person().get(PATH, 400)["code"] == "bad_query"
    early: Any = {"from": "0001-01-01T00:00:00Z", "to": at[0]}
    assert sums(ada.get(PATH, **early)) == (0, [], 0)
    moment_alone: Any = {"from": at[1], "to": at[1]}
    assert sums(ada.get(PATH, **moment_alone)) == (100, [], 100)
    for end in ("0001-01-01T00:00:00Z", "0093-10-20T00:56:34Z", "1970-01-01T00:00:00Z"):
        assert sums(ada.get(PATH, to=end)) == (0, [], 0)
    earliest: Any = {"from": "0001-01-01T00:00:00Z", "to": "0093-10-20T00:56:34Z"}
    assert sums(ada.get(PATH, **earliest)) == (0, [], 0)
    until = moment(datetime.fromisoformat(at[0]) + MICROSECOND)
    assert sums(ada.get(PATH, to=until)) == (0, [100], 100)
