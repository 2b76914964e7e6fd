"""The contract of the ledger: transfers."""

import random
from datetime import datetime
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from repositories.errors import Contention, Insufficient, Invalid
from repositories.records.money import PROVIDER, Balance, Created, Differs, Exists, Money, Transfer
from repositories.records.payments import NEVER, PAYOUT
from repositories.relational import RelationalStore, Transaction
from tests.contracts.money import balances, held, transfer, wallet, written
from tests.contracts.relational.ledger_steps import pay
from tests.contracts.relational_store import NOW
from tests.contracts.transactions import LARGEST, SECOND, do, do_retrying, together


class TestTransfer:
    def test_moves_money_and_leaves_two_entries(self, store: RelationalStore) -> None:
        ada, bob = wallet(store, 100), wallet(store)
        order_id = uuid4()
        wanted = transfer(ada, bob, 30, order_id=order_id)
        posted = do(store, lambda unit: unit.ledger.transfer(wanted))
        one = written(store, wanted)
        assert posted == Created(one)
        assert store.ledger.wallet(ada) == [Balance("EUR", 70)]
        assert store.ledger.wallet(bob) == [Balance("EUR", 30)]
        paid, opening = store.ledger.entries(ada, "EUR", limit=9)
        assert (paid.sequence, paid.amount, paid.balance, paid.other) == (2, -30, 70, bob)
        assert (paid.transfer_id, paid.order_id, paid.at, paid.kind) == (one.id, order_id, one.created_at, "transfer")
        assert (opening.sequence, opening.amount, opening.balance, opening.other) == (1, 100, 100, PROVIDER)
        assert store.ledger.get([one.id, uuid4()]) == {one.id: one}

    def test_an_unknown_owner_has_no_money(self, store: RelationalStore) -> None:
        nobody = uuid4()
        assert store.ledger.wallet(nobody) == []
        assert store.ledger.entries(nobody, "EUR", limit=9) == []
        assert store.ledger.balance_at(nobody, "EUR", NOW) == 0
        assert store.ledger.get([]) == {}

    def test_refuses_more_than_the_balance(self, store: RelationalStore) -> None:
        ada, bob = wallet(store, 10), wallet(store, 1)
        for debit, credit in ((ada, bob), (bob, ada), (uuid4(), ada)):
            with pytest.raises(Insufficient):
                do(store, lambda unit, d=debit, c=credit: unit.ledger.transfer(transfer(d, c, 11)))  # type: ignore[misc]  # default binds
        assert balances(store, ada) == {"EUR": (10, 0)}
        assert balances(store, bob) == {"EUR": (1, 0)}

    def test_a_refusal_ends_the_transaction(self, store: RelationalStore) -> None:
        ada, bob = wallet(store, 10), wallet(store)

        def swallow(unit: Transaction) -> None:
            unit.ledger.transfer(transfer(ada, bob, 5))
            with pytest.raises(Insufficient):
                unit.ledger.transfer(transfer(ada, bob, 6))
            with pytest.raises(Insufficient):
                unit.ledger.transfer(transfer(ada, bob, 1))

        with pytest.raises(Insufficient):
            do(store, swallow)
        assert balances(store, ada) == {"EUR": (10, 0)}

    def test_the_largest_amount_is_insufficient_whatever_the_ids(self, store: RelationalStore) -> None:
        for _ in range(8):
            ada, bob = wallet(store, 10), wallet(store, 10)
            with pytest.raises(Insufficient):
                do(store, lambda unit: unit.ledger.transfer(transfer(ada, bob, LARGEST)))  # noqa: B023 - called in its iteration

    def test_currencies_are_separate(self, store: RelationalStore) -> None:
        ada, bob = wallet(store, 10), wallet(store)
        with pytest.raises(Insufficient):
            do(store, lambda unit: unit.ledger.transfer(transfer(ada, bob, 1, "USD")))
        do(store, lambda unit: unit.ledger.transfer(transfer(PROVIDER, ada, 7, "CHF")))
        both = [Balance("CHF", 7), Balance("EUR", 10)]
        assert store.ledger.wallet(ada) == do(store, lambda unit: unit.ledger.wallet(ada)) == both

    @pytest.mark.parametrize("amount", [0, -1, LARGEST + 1, -LARGEST, 10**30, 1.5, True])
    def test_refuses_invalid_amounts(self, store: RelationalStore, amount: int) -> None:
        ada, bob = wallet(store, 10), wallet(store)
        for work in (
            lambda unit: unit.ledger.transfer(transfer(ada, bob, amount)),
            lambda unit: unit.ledger.hold(held(ada, bob, amount)),
        ):
            with pytest.raises(Invalid):
                do(store, work)
        assert balances(store, ada) == {"EUR": (10, 0)}

    def test_holds_64_bits_and_not_more(self, store: RelationalStore) -> None:
        rich = wallet(store, LARGEST, "XTS")
        assert balances(store, rich) == {"XTS": (LARGEST, 0)}
        with pytest.raises(Invalid):
            do(store, lambda unit: unit.ledger.transfer(transfer(PROVIDER, rich, 1, "XTS")))
        back = held(rich, PROVIDER, LARGEST, currency="XTS", kind=PAYOUT, expires_at=NEVER)
        do(store, lambda unit: unit.ledger.hold(back))
        do(store, lambda unit: unit.ledger.post(uuid4(), back.id, at=NOW))
        assert balances(store, rich) == {"XTS": (0, 0)}

    @pytest.mark.parametrize(
        "change",
        [
            {"phase": "hold"},
            {"phase": "post"},
            {"hold_id": UUID(int=1)},
            {"expires_at": NOW},
            {"amount": Money(1, "EURO")},
            {"kind": "a\0b"},
            {"kind": "\ud800"},
        ],
    )
    def test_refuses_invalid_transfers(self, store: RelationalStore, change: dict[str, object]) -> None:
        ada, bob = wallet(store, 10), wallet(store)
        with pytest.raises(Invalid):
            do(store, lambda unit: unit.ledger.transfer(replace(transfer(ada, bob, 1), **change)))
        with pytest.raises(Invalid):
            do(store, lambda unit: unit.ledger.transfer(transfer(ada, ada, 1)))

    def test_the_same_again_changes_nothing(self, store: RelationalStore) -> None:
        ada, bob = wallet(store, 10), wallet(store)
        one = transfer(ada, bob, 10)
        do(store, lambda unit: unit.ledger.transfer(one))
        again = replace(one, created_at=NOW + SECOND)
        assert do(store, lambda unit: unit.ledger.transfer(again)) == Exists(written(store, one))
        assert balances(store, ada) == {"EUR": (0, 0)}
        assert len(store.ledger.entries(bob, "EUR", limit=9)) == 1

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("kind", "other"),
            ("debit", PROVIDER),
            ("credit", UUID(int=7)),
            ("amount", Money(2, "EUR")),
            ("amount", Money(1, "USD")),
            ("order_id", UUID(int=8)),
            ("memo", "other"),
            ("reference", "other"),
        ],
    )
    def test_the_same_id_with_other_content_is_another_transfer(
        self, store: RelationalStore, field: str, value: object
    ) -> None:
        ada, bob = wallet(store, 10), wallet(store)
        one = transfer(ada, bob, 1)
        do(store, lambda unit: unit.ledger.transfer(one))
        other = do(store, lambda unit: unit.ledger.transfer(replace(one, **{field: value})))
        assert other == Differs(written(store, one), field)
        assert [entry.amount for entry in store.ledger.entries(ada, "EUR", limit=9)] == [-1, 10]

    def test_the_same_id_from_two_threads_is_one_transfer(self, store: RelationalStore) -> None:
        ada, bob = wallet(store, 100), wallet(store)
        for _ in range(10):
            one = transfer(ada, bob, 3)
            ends = together([lambda one=one: do_retrying(store, lambda unit: unit.ledger.transfer(one))] * 4)  # type: ignore[misc]  # default binds
            kept = written(store, one)
            assert sorted(map(str, ends)) == sorted(map(str, [Created(kept), *[Exists(kept)] * 3]))
        assert balances(store, bob) == {"EUR": (30, 0)}


class TestRaces:
    def test_two_debits_that_fit_only_alone(self, store: RelationalStore) -> None:
        for _ in range(10):
            ada, others = wallet(store, 10), [uuid4() for _ in range(4)]
            ends = together([lambda to=to, ada=ada: pay(store, ada, to, 6) for to in others])  # type: ignore[misc]  # default binds
            assert sum(isinstance(end, Transfer) for end in ends) == 1
            assert sum(isinstance(end, Insufficient) for end in ends) == 3
            assert balances(store, ada) == {"EUR": (4, 0)}

    def test_concurrent_transfers_keep_the_sum(self, store: RelationalStore) -> None:
        people = [wallet(store, 50) for _ in range(4)]

        def trade(seed: int) -> int:
            draws, refused = random.Random(seed), 0  # noqa: S311  - a simulation
            for _ in range(25):
                debit, credit = draws.sample(people, 2)
                try:
                    pay(store, debit, credit, draws.randint(1, 60))
                except (Insufficient, Contention):
                    refused += 1
            return refused

        ends = together([lambda seed=seed: trade(seed) for seed in range(6)])  # type: ignore[misc]  # default binds
        assert all(isinstance(end, int) for end in ends)
        owned = [balances(store, one)["EUR"][0] for one in people]
        assert sum(owned) == 200
        assert min(owned) >= 0
        assert [store.ledger.entries(one, "EUR", limit=1)[0].balance for one in people] == owned

    def test_crossed_transfers_never_deadlock(self, store: RelationalStore) -> None:
        ada, bob = wallet(store, 1000), wallet(store, 1000)

        def cross(debit: UUID, credit: UUID) -> None:
            for _ in range(20):
                do(store, lambda unit: unit.ledger.transfer(transfer(debit, credit, 1)))

        assert together([lambda: cross(ada, bob), lambda: cross(bob, ada)] * 2) == [None] * 4

    def test_locking_first_orders_commands_over_many_accounts(self, store: RelationalStore) -> None:
        people = [wallet(store, 100) for _ in range(4)]

        def spread(debit: UUID) -> None:
            others = [one for one in people if one != debit]
            for _ in range(6):
                with store.transaction() as unit:
                    unit.ledger.lock(people, "EUR")
                    for credit in reversed(others):
                        unit.ledger.transfer(transfer(debit, credit, 1))

        assert together([lambda one=one: spread(one) for one in people]) == [None] * 4  # type: ignore[misc]  # default binds
        assert [balances(store, one)["EUR"] for one in people] == [(100, 0)] * 4

    def test_lock_opens_accounts(self, store: RelationalStore) -> None:
        new = [uuid4() for _ in range(3)]
        ends = together([lambda: do_retrying(store, lambda unit: unit.ledger.lock(new, "EUR"))] * 4)
        assert all(isinstance(end, datetime) for end in ends)
        assert [balances(store, one) for one in new] == [{"EUR": (0, 0)}] * 3


class TestBulk:
    def test_posts_in_the_order_given(self, store: RelationalStore) -> None:
        ada, bob = wallet(store), wallet(store)
        rows = [transfer(PROVIDER, ada, 50), transfer(ada, bob, 20), transfer(PROVIDER, bob, 3, "USD")]
        for _ in range(2):
            do(store, lambda unit: unit.bulk.transfers([*rows, rows[0]]))
        assert balances(store, ada) == {"EUR": (30, 0)}
        assert balances(store, bob) == {"EUR": (20, 0), "USD": (3, 0)}
        assert store.ledger.get([one.id for one in rows]) == {one.id: one for one in rows}
        assert do(store, lambda unit: unit.ledger.transfer(rows[1])) == Exists(rows[1])
        pay(store, ada, bob, 30)
        assert [one.balance for one in store.ledger.entries(ada, "EUR", limit=9)] == [0, 30, 50]

    def test_refuses_overdrafts_and_invalid_amounts(self, store: RelationalStore) -> None:
        ada, bob = wallet(store), wallet(store)
        with pytest.raises(Insufficient):
            do(store, lambda unit: unit.bulk.transfers([transfer(ada, bob, 1), transfer(PROVIDER, ada, 1)]))
        with pytest.raises(Invalid):
            do(store, lambda unit: unit.bulk.transfers([transfer(PROVIDER, ada, 0)]))
        do(store, lambda unit: unit.bulk.transfers([]))
        assert store.ledger.wallet(ada) == []
