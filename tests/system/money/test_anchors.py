"""Anchors: which forgeries they reveal, how they are stored, and when they are made."""

import json
import logging
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, delete, select, update

from app.cli import main
from app.doctor.ledger import audited
from app.services.money.anchors import Altered, Anchor, AnchorRules, Anchors, BadAnchor, Seal
from app.worker.anchoring import AGAIN, anchoring_of
from app.worker.running import relay_of
from repositories.records.money import Finding
from repositories.relational.audit import increment, receipts
from repositories.relational.schema.money_tables import entries, ledger_accounts
from tests.contracts.money import without_triggers
from tests.contracts.relational_store import NOW
from tests.contracts.transactions import engine_of
from tests.shop import Shop, euros
from tests.system.money.forgery import change_amount, forget, forget_hold, forget_product, invent_units
from tests.system.money.full_shop import fill

Change = Callable[[Connection], Any]
pytestmark = pytest.mark.parametrize("shop", ["embedded"], indirect=True)


@pytest.fixture
def sent(shop: Shop) -> list[UUID]:
    """The ids of three transfers, oldest first, in a database without its triggers."""
    fill(shop)
    without_triggers(shop.system.container.stores.relational)
    return [UUID(send(shop)) for _ in range(3)]


def send(shop: Shop) -> str:
    return str(shop.buyer.pay("/wallet/transfers", {"to": "other", "amount": euros(7)})["id"])


def anchors(shop: Shop) -> Anchors:
    return shop.system.container.money.anchors


def findings(shop: Shop, anchor: Anchor | None, *, whole: bool = True) -> list[Finding]:
    return list(audited(shop.system.container.stores.relational.audit, anchor, whole=whole))


def change(shop: Shop, work: Change) -> None:
    with engine_of(shop.system.container.stores.relational).begin() as connection:
        work(connection)


def balance_of(transfer_id: UUID) -> Change:
    """Change the running balance of both entries of a transfer."""
    return lambda c: c.execute(update(entries).where(entries.c.transfer_id == transfer_id).values(balance=1))


FORGERIES: dict[str, Callable[[list[UUID]], Change]] = {
    "an amount": lambda sent: lambda connection: change_amount(connection, sent[0], 1),
    "the newest": lambda sent: lambda connection: forget(connection, sent[-1]),
}


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("name", FORGERIES)
def test_a_ledger_that_was_rewritten_as_a_whole_is_found(
    shop: Shop, sent: list[UUID], name: str, *, whole: bool
) -> None:
    anchor = anchors(shop).make()
    assert findings(shop, anchor, whole=whole) == []
    change(shop, FORGERIES[name](sent))
    assert findings(shop, None) == [], "the audit without an anchor finds nothing"
    first, second = findings(shop, anchor, whole=whole)
    assert {shop.buyer.account["id"] in one.about for one in (first, second)} == {True, False}, "one for each account"
    with pytest.raises(Altered):
        anchors(shop).make()


@pytest.mark.parametrize("whole", [True, False])
def test_a_hold_that_was_deleted_with_its_end_is_found(shop: Shop, sent: list[UUID], *, whole: bool) -> None:
    anchor, taken = anchors(shop).make(), list[UUID]()
    change(shop, lambda connection: taken.append(forget_hold(connection)))
    assert findings(shop, None) == [], "the audit without an anchor finds nothing"
    (finding,) = findings(shop, anchor, whole=whole)
    assert str(taken[0]) in finding.about


@pytest.mark.parametrize("put_later", [False, True])
def test_invented_backdated_receipts_with_matching_hashes_are_found(
    shop: Shop, sent: list[UUID], monkeypatch: pytest.MonkeyPatch, *, put_later: bool
) -> None:
    monkeypatch.setattr(receipts, "BATCH", 1)
    anchor = anchors(shop).make()
    if put_later:
        shop.seller.put(f"/products/{shop.lamp}/stock", {"on_hand": 50}, 200, etag="*")
        shop.seller.put(f"/products/{shop.lamp}/stock", {"on_hand": 60}, 200, etag="*")
    assert [*findings(shop, anchor), *findings(shop, anchor, whole=False)] == []
    change(shop, lambda connection: invent_units(connection, UUID(shop.lamp), 3))
    assert findings(shop, None) == [], "the audit without an anchor finds nothing"
    for whole in (True, False):
        assert {one.about for one in findings(shop, anchor, whole=whole)} == {f"stock of product {shop.lamp}"}
    with pytest.raises(Altered):
        anchors(shop).make()


def test_a_product_whose_stock_was_deleted_is_found(shop: Shop, sent: list[UUID]) -> None:
    lost = UUID(shop.offer(shop.seller, 7, 30))
    anchor = anchors(shop).make()
    assert anchor.seal.products == len(list(anchor.stock_heads()))
    change(shop, lambda connection: forget_product(connection, lost))
    assert findings(shop, None) == [], "the audit without an anchor finds nothing"
    finding = Finding(f"stock of product {lost}", "is missing, but is in the anchor")
    for whole in (True, False):
        assert findings(shop, anchor, whole=whole) == [finding]


def test_an_anchor_of_an_earlier_version_is_read_without_holds_and_receipts(shop: Shop, sent: list[UUID]) -> None:
    made = anchors(shop)
    whole_anchor = made.make()
    path = whole_anchor.path
    lines = path.read_text().splitlines()[: whole_anchor.seal.accounts]
    heads = "".join(" ".join(line.split()[:6]) + "\n" for line in lines)
    seal = msgspec.to_builtins(Seal(NOW, len(lines), 0, sha256(heads.encode()).hexdigest(), None))
    for later in ("products", "parts", "parts_head"):
        seal.pop(later)
    path.write_bytes(heads.encode() + made._signer.sign(msgspec.json.encode(seal)) + b"\n")
    earlier = made.read(path)
    assert [head.holds for head in earlier.heads()] == [0] * len(lines)
    assert list(earlier.stock_heads()) == []
    for whole in (True, False):
        assert findings(shop, earlier, whole=whole) == []


@pytest.mark.parametrize("most", [1, 1000])
@pytest.mark.parametrize("whole", [True, False])
def test_entries_added_since_the_anchor_are_checked(
    shop: Shop, sent: list[UUID], monkeypatch: pytest.MonkeyPatch, most: int, *, whole: bool
) -> None:
    monkeypatch.setattr(increment, "BATCH", most)
    anchor = anchors(shop).make()
    late = UUID(send(shop))
    shop.act(shop.paid(), "refund")
    assert findings(shop, anchor, whole=whole) == []
    change(shop, balance_of(late))
    assert {one.about.split()[0] for one in findings(shop, anchor, whole=whole)} == {"entry"}


def test_since_an_anchor_only_new_entries_are_read(shop: Shop, sent: list[UUID]) -> None:
    anchor = anchors(shop).make()
    change(shop, balance_of(sent[0]))
    assert findings(shop, anchor, whole=False) == []
    assert findings(shop, anchor)


def test_a_lost_account_is_found(shop: Shop, sent: list[UUID]) -> None:
    anchor = anchors(shop).make()
    owner = UUID(shop.buyer.account["id"])

    change(shop, lambda c: c.execute(delete(ledger_accounts).where(ledger_accounts.c.owner == owner)))
    for whole in (True, False):
        assert any("is in the anchor" in one.problem for one in findings(shop, anchor, whole=whole))


def test_a_second_anchor_names_the_first_and_has_the_current_heads(shop: Shop, sent: list[UUID]) -> None:
    first = anchors(shop).make()
    send(shop)
    second = anchors(shop).make()
    assert anchors(shop).last() == second
    assert (first.seal.previous, second.seal.entries) == (None, first.seal.entries + 2)
    assert second.seal.previous is not None
    with engine_of(shop.system.container.stores.relational).connect() as connection:
        rows = connection.execute(select(ledger_accounts).order_by(ledger_accounts.c.owner)).all()
    assert sorted(head.head for head in second.heads()) == sorted(bytes(row.head) for row in rows)
    assert [head.owner for head in second.heads()] == [row.owner for row in rows]


@pytest.mark.parametrize("line", [0, -1])
def test_a_changed_anchor_file_is_refused(shop: Shop, sent: list[UUID], line: int) -> None:
    path = anchors(shop).make().path
    lines = path.read_bytes().splitlines(keepends=True)
    lines[line] = lines[line].replace(b"1", b"2")
    for changed in (b"".join(lines), b"".join(lines[1:]), b""):
        path.write_bytes(changed)
        with pytest.raises(BadAnchor):
            anchors(shop).last()


def test_an_anchor_is_read_after_a_change_of_the_key(shop: Shop, sent: list[UUID]) -> None:
    path, container = anchors(shop).make().path, shop.system.container
    own = container.settings.secret_key

    def keyed(*secrets: str) -> Anchors:
        return Anchors(container.stores.relational, AnchorRules(path.parent, timedelta(), secrets), container.kit)

    assert keyed("new" * 20, own).read(path).seal.accounts > 0
    with pytest.raises(BadAnchor):
        keyed("new" * 20).read(path)


def test_the_relay_anchors_when_it_is_due(shop: Shop, sent: list[UUID], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    anchoring = anchoring_of(shop.system.container)
    assert [anchoring.tick(), anchoring.tick()] == [True, False]
    shop.clock.now += timedelta(hours=1)
    assert anchoring.tick()
    relay_of(shop.system.container).drain()
    last = anchors(shop).last()
    assert last is not None
    assert f"ledger anchored: {last.signed.decode()}" in caplog.messages
    shop.clock.now += timedelta(hours=1)
    change(shop, FORGERIES["the newest"](sent))
    before = alarms(shop)
    assert not anchoring.tick()
    assert caplog.records[-1].levelno == logging.CRITICAL
    assert "altered" in caplog.messages[-1]
    assert alarms(shop) == before + 1
    caplog.clear()
    shop.clock.now += AGAIN / 2
    assert not anchoring.tick()
    assert caplog.messages == [], "it retries only after a pause"


def alarms(shop: Shop) -> float:
    text = shop.system.app.test_client().get("/metrics").get_data(as_text=True)
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("quartet_alarms_total"))


def metric(shop: Shop, name: str) -> float:
    text = shop.system.app.test_client().get("/metrics").get_data(as_text=True)
    (value,) = [line.split()[1] for line in text.splitlines() if line.startswith(f"quartet_ledger_{name} ")]
    return float(value)


@pytest.fixture
def run(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    settings = shop.system.container.settings
    monkeypatch.setenv("QUARTET_ANCHOR_FOLDER", settings.anchor_folder)
    for role in ("relational", "documents", "feeds", "sessions", "cache"):
        monkeypatch.setenv(f"QUARTET_{role.upper()}_URL", getattr(settings, f"{role}_url"))
    return lambda *words: CliRunner().invoke(main, words)


def test_the_commands_make_anchors_and_compare_with_them(
    shop: Shop, sent: list[UUID], run: Callable[..., Any], tmp_path: Path
) -> None:
    assert run("doctor", "ledger", "--since-anchor").exit_code == 2
    first = run("doctor", "ledger")
    assert (first.exit_code, "no anchor" in first.output) == (0, True)
    assert Path(run("ledger", "anchor").output.strip()).exists()
    assert run("ledger", "anchor", "--to", "-").stdout.splitlines()[:-1]
    other = str(tmp_path / "other.anchor")
    assert run("ledger", "anchor", "--to", other).exit_code == 0
    assert run("doctor", "ledger", "--anchor", other, "--since-anchor").exit_code == 0
    whole = json.loads(run("doctor", "ledger", "--json").output)
    assert (whole["findings"], whole["whole"], whole["anchor"]["entries"] > 0) == (0, True, True)
    assert metric(shop, "audit_findings") == 0
    change(shop, FORGERIES["an amount"](sent))
    ended = run("doctor", "ledger", "--json")
    *lines, last = map(json.loads, ended.stdout.splitlines())
    assert (ended.exit_code, last["findings"], len(lines)) == (1, 2, 2)
    assert lines[0].keys() == {"about", "problem"}
    assert metric(shop, "audit_findings") == 2
    assert metric(shop, "anchor_age_seconds") >= 0
    refused = run("ledger", "anchor")
    assert (refused.exit_code, "not anchored" in refused.output) == (1, True)
    Path(other).write_text("nothing")
    assert "not signed" in run("doctor", "ledger", "--anchor", other).output
