"""The contract of the relational store: deposits, payouts, and the data of the sandbox provider."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from repositories.errors import NotFound
from repositories.money_records import PROVIDER
from repositories.payment_records import NEVER, PAYOUT, Payment
from repositories.records import Money, TimeCursor
from repositories.relational import RelationalStore, Transaction
from tests.contracts.money import MICROSECOND, do, held, surely, together, transfer, wallet
from tests.contracts.relational_store import NOW, register

EUR7 = Money(7, "EUR")


def payout(store: RelationalStore, owner: UUID, end: str = "") -> UUID:
    """Begin a payout of 7, and end it by `end` (post or void) if given. Returns its reference."""
    own = held(owner, PROVIDER, 7, kind=PAYOUT, expires_at=NEVER)
    assert do(store, lambda unit: unit.ledger.hold(own)).transfer.id == own.id
    if end == "post":
        assert do(store, lambda unit: unit.ledger.post(uuid4(), own.id, at=NOW))
    elif end:
        assert do(store, lambda unit: unit.ledger.void(uuid4(), own.id))
    return own.id


def forget(store: RelationalStore, owner: UUID) -> int:
    return do(store, lambda tx: tx.open_payments.forget(owner))


class TestLedgersPayments:
    @pytest.mark.parametrize(("end", "state"), [("", "pending"), ("post", "approved"), ("void", "declined")])
    def test_the_state_of_a_payout_is_that_of_its_hold(self, relational: RelationalStore, end: str, state: str) -> None:
        ada = wallet(relational, 100)
        reference = payout(relational, ada, end)
        found = relational.payments.get([reference, uuid4()])
        (one,) = found.values()
        assert (one.reference, one.kind, one.money, one.state, one.owner) == (reference, "payout", EUR7, state, ada)
        assert (one.ended_at is None) == (end == "")
        assert one.ended_at is None or one.at < one.ended_at

    def test_a_deposit_is_approved_and_nothing_else_is_a_payment(self, relational: RelationalStore) -> None:
        ada = wallet(relational, 100)
        deposit, sent, hold = transfer(PROVIDER, ada, 7), transfer(ada, uuid4(), 1), held(ada, uuid4(), 1)
        for one in (deposit, sent):
            do(relational, lambda unit, one=one: unit.ledger.transfer(one))  # type: ignore[misc]  # default binds
        do(relational, lambda unit: unit.ledger.hold(hold))
        found = relational.payments.get([deposit.id, sent.id, hold.id])
        assert set(found) == {deposit.id}
        assert (found[deposit.id].kind, found[deposit.id].state, found[deposit.id].owner) == (
            "deposit",
            "approved",
            ada,
        )
        assert relational.payments.get([]) == {}

    def test_payouts_of_a_wallet_newest_first(self, relational: RelationalStore) -> None:
        ada = wallet(relational, 100)
        made = [payout(relational, ada, end) for end in ("post", "", "void")]
        payout(relational, wallet(relational, 100))
        first = relational.payments.payouts(ada, before=None, limit=2)
        assert [one.reference for one in first] == made[:0:-1]
        mark = TimeCursor(first[-1].at, first[-1].reference)
        assert [one.reference for one in relational.payments.payouts(ada, before=mark, limit=9)] == made[:1]

    def test_payments_of_a_period_oldest_first(self, relational: RelationalStore) -> None:
        since = relational.now()
        ada = wallet(relational, 100)
        made = payout(relational, ada)
        until = relational.payments.get([made])[made].at
        (deposit,) = relational.payments.between(since, until, after=None, limit=9)
        assert (deposit.kind, deposit.owner) == ("deposit", ada)
        mark = TimeCursor(deposit.at, deposit.reference)
        later = relational.payments.between(since, until + MICROSECOND, after=mark, limit=9)
        assert [one.reference for one in later] == [made]


class TestSandbox:
    def test_a_reference_is_kept_once(self, relational: RelationalStore) -> None:
        one = Payment(uuid4(), "payout", EUR7, "pending", NOW)
        other = Payment(one.reference, "deposit", Money(8, "EUR"), "approved", NOW)
        assert do(relational, lambda unit: unit.sandbox.add([one])) == 1
        assert do(relational, lambda unit: unit.sandbox.add([other])) == 0
        assert do(relational, lambda unit: unit.sandbox.add([])) == 0
        assert relational.sandbox.get(one.reference) == one
        assert relational.sandbox.get(uuid4()) is None

    def test_payments_of_a_period_are_paged(self, relational: RelationalStore) -> None:
        began = NOW + timedelta(days=uuid4().int % 10_000)
        made = [Payment(uuid4(), "deposit", EUR7, "approved", began + turn * MICROSECOND) for turn in range(4)]
        assert do(relational, lambda unit: unit.sandbox.add(made[::-1])) == 4
        read = relational.sandbox.between
        first = read(made[0].at, made[3].at, after=None, limit=2)
        assert first == made[:2]
        assert read(made[0].at, made[3].at, after=TimeCursor(made[1].at, made[1].reference), limit=9) == made[2:3]


class TestOpenPayments:
    def test_a_payment_is_open_until_it_ends(self, relational: RelationalStore) -> None:
        ada, bob = register(relational, 2)
        first, second = uuid4(), uuid4()
        for owner, reference in ((ada, first), (ada, first), (ada, second), (bob, first)):
            do(relational, lambda tx, one=(owner, reference): tx.open_payments.begin(*one, NOW))  # type: ignore[misc]
        for owner, reference in ((ada, first), (ada, first), (bob, second)):
            do(relational, lambda tx, one=(owner, reference): tx.open_payments.end(*one))  # type: ignore[misc]
        assert [forget(relational, one) for one in (ada, ada, bob)] == [1, 0, 1]

    def test_a_deleted_account_begins_no_payment(self, relational: RelationalStore) -> None:
        (ada,) = register(relational, 1)
        do(relational, lambda tx: tx.accounts.delete(ada, at=NOW, if_hash="hash"))
        for gone in (ada, uuid4()):
            with pytest.raises(NotFound):
                do(relational, lambda tx, gone=gone: tx.open_payments.begin(gone, uuid4(), NOW))  # type: ignore[misc]

    def test_a_concurrent_deletion_sees_or_prevents_it(self, relational: RelationalStore) -> None:
        """Either the deletion sees the open payment, or it commits first and the payment is not begun."""
        for ada in register(relational, 8):

            def begin(owner: UUID = ada) -> bool:
                try:
                    do(relational, lambda tx: tx.open_payments.begin(owner, uuid4(), NOW))
                except NotFound:
                    return False
                return True

            def leave(owner: UUID = ada) -> int:
                def work(tx: Transaction) -> int:
                    tx.accounts.delete(owner, at=NOW, if_hash="hash")
                    return tx.open_payments.forget(owner)

                return surely(relational, work)

            begun, seen = together([begin, leave])
            assert begun is bool(seen)
