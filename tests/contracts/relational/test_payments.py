"""The contract of the relational store: deposits, payouts, and the data of the sandbox provider."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from repositories.errors import NotFound
from repositories.records.graph import TimeCursor
from repositories.records.money import PROVIDER, Money
from repositories.records.payments import NEVER, PAYOUT, Payment
from repositories.relational import RelationalStore, Transaction
from tests.contracts.money import held, transfer, wallet
from tests.contracts.relational_store import NOW, register
from tests.contracts.transactions import MICROSECOND, do, do_retrying, together

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
    def test_the_state_of_a_payout_is_that_of_its_hold(self, store: RelationalStore, end: str, state: str) -> None:
        ada = wallet(store, 100)
        reference = payout(store, ada, end)
        found = store.payments.get([reference, uuid4()])
        (one,) = found.values()
        assert (one.reference, one.kind, one.money, one.state, one.owner) == (reference, "payout", EUR7, state, ada)
        assert (one.ended_at is None) == (end == "")
        assert one.ended_at is None or one.at < one.ended_at

    def test_a_deposit_is_approved_and_nothing_else_is_a_payment(self, store: RelationalStore) -> None:
        ada = wallet(store, 100)
        deposit, sent, hold = transfer(PROVIDER, ada, 7), transfer(ada, uuid4(), 1), held(ada, uuid4(), 1)
        for one in (deposit, sent):
            do(store, lambda unit, one=one: unit.ledger.transfer(one))  # type: ignore[misc]  # default binds
        do(store, lambda unit: unit.ledger.hold(hold))
        found = store.payments.get([deposit.id, sent.id, hold.id])
        assert set(found) == {deposit.id}
        assert (found[deposit.id].kind, found[deposit.id].state, found[deposit.id].owner) == (
            "deposit",
            "approved",
            ada,
        )
        assert store.payments.get([]) == {}

    def test_payouts_of_a_wallet_newest_first(self, store: RelationalStore) -> None:
        ada = wallet(store, 100)
        made = [payout(store, ada, end) for end in ("post", "", "void")]
        payout(store, wallet(store, 100))
        first = store.payments.payouts(ada, before=None, limit=2)
        assert [one.reference for one in first] == made[:0:-1]
        mark = TimeCursor(first[-1].at, first[-1].reference)
        assert [one.reference for one in store.payments.payouts(ada, before=mark, limit=9)] == made[:1]

    def test_payments_of_a_period_oldest_first(self, store: RelationalStore) -> None:
        since = store.now()
        ada = wallet(store, 100)
        made = payout(store, ada)
        until = store.payments.get([made])[made].at
        (deposit,) = store.payments.between(since, until, after=None, limit=9)
        assert (deposit.kind, deposit.owner) == ("deposit", ada)
        mark = TimeCursor(deposit.at, deposit.reference)
        later = store.payments.between(since, until + MICROSECOND, after=mark, limit=9)
        assert [one.reference for one in later] == [made]


class TestSandbox:
    def test_a_reference_is_kept_once(self, store: RelationalStore) -> None:
        one = Payment(uuid4(), "payout", EUR7, "pending", NOW)
        other = Payment(one.reference, "deposit", Money(8, "EUR"), "approved", NOW)
        assert do(store, lambda unit: unit.sandbox.add([one])) == 1
        assert do(store, lambda unit: unit.sandbox.add([other])) == 0
        assert do(store, lambda unit: unit.sandbox.add([])) == 0
        assert store.sandbox.get(one.reference) == one
        assert store.sandbox.get(uuid4()) is None

    def test_payments_of_a_period_are_paged(self, store: RelationalStore) -> None:
        began = NOW + timedelta(days=uuid4().int % 10_000)
        made = [Payment(uuid4(), "deposit", EUR7, "approved", began + turn * MICROSECOND) for turn in range(4)]
        assert do(store, lambda unit: unit.sandbox.add(made[::-1])) == 4
        read = store.sandbox.between
        first = read(made[0].at, made[3].at, after=None, limit=2)
        assert first == made[:2]
        assert read(made[0].at, made[3].at, after=TimeCursor(made[1].at, made[1].reference), limit=9) == made[2:3]


class TestOpenPayments:
    def test_a_payment_is_open_until_it_ends(self, store: RelationalStore) -> None:
        ada, bob = register(store, 2)
        first, second = uuid4(), uuid4()
        for owner, reference in ((ada, first), (ada, first), (ada, second), (bob, first)):
            do(store, lambda tx, one=(owner, reference): tx.open_payments.begin(*one, NOW))  # type: ignore[misc]
        for owner, reference in ((ada, first), (ada, first), (bob, second)):
            do(store, lambda tx, one=(owner, reference): tx.open_payments.end(*one))  # type: ignore[misc]
        assert [forget(store, one) for one in (ada, ada, bob)] == [1, 0, 1]

    def test_a_deleted_account_begins_no_payment(self, store: RelationalStore) -> None:
        (ada,) = register(store, 1)
        do(store, lambda tx: tx.accounts.delete(ada, at=NOW, if_hash="hash"))
        for gone in (ada, uuid4()):
            with pytest.raises(NotFound):
                do(store, lambda tx, gone=gone: tx.open_payments.begin(gone, uuid4(), NOW))  # type: ignore[misc]

    def test_a_concurrent_deletion_sees_or_prevents_it(self, store: RelationalStore) -> None:
        """Either the deletion sees the open payment, or it commits first and the payment is not begun."""
        for ada in register(store, 8):

            def begin(owner: UUID = ada) -> bool:
                try:
                    do(store, lambda tx: tx.open_payments.begin(owner, uuid4(), NOW))
                except NotFound:
                    return False
                return True

            def leave(owner: UUID = ada) -> int:
                def work(tx: Transaction) -> int:
                    tx.accounts.delete(owner, at=NOW, if_hash="hash")
                    return tx.open_payments.forget(owner)

                return do_retrying(store, work)

            begun, seen = together([begin, leave])
            assert begun is bool(seen)
