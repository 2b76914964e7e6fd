"""The contract of the ledger."""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace
from sqlalchemy import Insert, Table, delete, insert, literal, select, update
from sqlalchemy.exc import SQLAlchemyError

from repositories.errors import Conflict, Contention, Inconsistent, Insufficient, Invalid, NotFound, Resolved
from repositories.money_records import PROVIDER, Balance, Created, Differs, Exists, Posting, Transfer
from repositories.payment_records import NEVER, PAYOUT
from repositories.records import Money
from repositories.relational import RelationalStore, Transaction
from repositories.relational.money import balance_writes
from repositories.relational.schema.columns import ID
from repositories.relational.schema.money_tables import entries, ledger_accounts, transfers
from tests.contracts.money import (
    LARGEST,
    MICROSECOND,
    SECOND,
    balances,
    do,
    held,
    sql,
    surely,
    together,
    transfer,
    wallet,
    written,
)
from tests.contracts.relational_store import NOW


class TestTransfer:
    def test_moves_money_and_leaves_two_entries(self, relational: RelationalStore) -> None:
        ada, bob = wallet(relational, 100), wallet(relational)
        order_id = uuid4()
        wanted = transfer(ada, bob, 30, order_id=order_id)
        posted = do(relational, lambda unit: unit.ledger.transfer(wanted))
        one = written(relational, wanted)
        assert posted == Created(one)
        assert relational.ledger.wallet(ada) == [Balance("EUR", 70)]
        assert relational.ledger.wallet(bob) == [Balance("EUR", 30)]
        paid, opening = relational.ledger.entries(ada, "EUR", limit=9)
        assert (paid.sequence, paid.amount, paid.balance, paid.other) == (2, -30, 70, bob)
        assert (paid.transfer_id, paid.order_id, paid.at, paid.kind) == (one.id, order_id, one.created_at, "transfer")
        assert (opening.sequence, opening.amount, opening.balance, opening.other) == (1, 100, 100, PROVIDER)
        assert relational.ledger.get([one.id, uuid4()]) == {one.id: one}

    def test_an_unknown_owner_has_no_money(self, relational: RelationalStore) -> None:
        nobody = uuid4()
        assert relational.ledger.wallet(nobody) == []
        assert relational.ledger.entries(nobody, "EUR", limit=9) == []
        assert relational.ledger.balance_at(nobody, "EUR", NOW) == 0
        assert relational.ledger.get([]) == {}

    def test_refuses_more_than_the_balance(self, relational: RelationalStore) -> None:
        ada, bob = wallet(relational, 10), wallet(relational, 1)
        for debit, credit in ((ada, bob), (bob, ada), (uuid4(), ada)):
            with pytest.raises(Insufficient):
                do(relational, lambda unit, d=debit, c=credit: unit.ledger.transfer(transfer(d, c, 11)))  # type: ignore[misc]  # default binds
        assert balances(relational, ada) == {"EUR": (10, 0)}
        assert balances(relational, bob) == {"EUR": (1, 0)}

    def test_a_refusal_ends_the_transaction(self, relational: RelationalStore) -> None:
        ada, bob = wallet(relational, 10), wallet(relational)

        def swallow(unit: Transaction) -> None:
            unit.ledger.transfer(transfer(ada, bob, 5))
            with pytest.raises(Insufficient):
                unit.ledger.transfer(transfer(ada, bob, 6))
            with pytest.raises(Insufficient):
                unit.ledger.transfer(transfer(ada, bob, 1))

        with pytest.raises(Insufficient):
            do(relational, swallow)
        assert balances(relational, ada) == {"EUR": (10, 0)}

    def test_the_largest_amount_is_insufficient_whatever_the_ids(self, relational: RelationalStore) -> None:
        for _ in range(8):
            ada, bob = wallet(relational, 10), wallet(relational, 10)
            with pytest.raises(Insufficient):
                do(relational, lambda unit: unit.ledger.transfer(transfer(ada, bob, LARGEST)))  # noqa: B023 - called in its iteration

    def test_currencies_are_separate(self, relational: RelationalStore) -> None:
        ada, bob = wallet(relational, 10), wallet(relational)
        with pytest.raises(Insufficient):
            do(relational, lambda unit: unit.ledger.transfer(transfer(ada, bob, 1, "USD")))
        do(relational, lambda unit: unit.ledger.transfer(transfer(PROVIDER, ada, 7, "CHF")))
        both = [Balance("CHF", 7), Balance("EUR", 10)]
        assert relational.ledger.wallet(ada) == do(relational, lambda unit: unit.ledger.wallet(ada)) == both

    @pytest.mark.parametrize("amount", [0, -1, LARGEST + 1, -LARGEST, 10**30, 1.5, True])
    def test_refuses_invalid_amounts(self, relational: RelationalStore, amount: int) -> None:
        ada, bob = wallet(relational, 10), wallet(relational)
        for work in (
            lambda unit: unit.ledger.transfer(transfer(ada, bob, amount)),
            lambda unit: unit.ledger.hold(held(ada, bob, amount)),
        ):
            with pytest.raises(Invalid):
                do(relational, work)
        assert balances(relational, ada) == {"EUR": (10, 0)}

    def test_holds_64_bits_and_not_more(self, relational: RelationalStore) -> None:
        rich = wallet(relational, LARGEST, "XTS")
        assert balances(relational, rich) == {"XTS": (LARGEST, 0)}
        with pytest.raises(Invalid):
            do(relational, lambda unit: unit.ledger.transfer(transfer(PROVIDER, rich, 1, "XTS")))
        back = held(rich, PROVIDER, LARGEST, currency="XTS", kind=PAYOUT, expires_at=NEVER)
        do(relational, lambda unit: unit.ledger.hold(back))
        do(relational, lambda unit: unit.ledger.post(uuid4(), back.id, at=NOW))
        assert balances(relational, rich) == {"XTS": (0, 0)}

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
    def test_refuses_invalid_transfers(self, relational: RelationalStore, change: dict[str, object]) -> None:
        ada, bob = wallet(relational, 10), wallet(relational)
        with pytest.raises(Invalid):
            do(relational, lambda unit: unit.ledger.transfer(replace(transfer(ada, bob, 1), **change)))
        with pytest.raises(Invalid):
            do(relational, lambda unit: unit.ledger.transfer(transfer(ada, ada, 1)))

    def test_the_same_again_changes_nothing(self, relational: RelationalStore) -> None:
        ada, bob = wallet(relational, 10), wallet(relational)
        one = transfer(ada, bob, 10)
        do(relational, lambda unit: unit.ledger.transfer(one))
        again = replace(one, created_at=NOW + SECOND)
        assert do(relational, lambda unit: unit.ledger.transfer(again)) == Exists(written(relational, one))
        assert balances(relational, ada) == {"EUR": (0, 0)}
        assert len(relational.ledger.entries(bob, "EUR", limit=9)) == 1

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
        self, relational: RelationalStore, field: str, value: object
    ) -> None:
        ada, bob = wallet(relational, 10), wallet(relational)
        one = transfer(ada, bob, 1)
        do(relational, lambda unit: unit.ledger.transfer(one))
        other = do(relational, lambda unit: unit.ledger.transfer(replace(one, **{field: value})))
        assert other == Differs(written(relational, one), field)
        assert [entry.amount for entry in relational.ledger.entries(ada, "EUR", limit=9)] == [-1, 10]

    def test_the_same_id_from_two_threads_is_one_transfer(self, relational: RelationalStore) -> None:
        ada, bob = wallet(relational, 100), wallet(relational)
        for _ in range(10):
            one = transfer(ada, bob, 3)
            ends = together([lambda one=one: surely(relational, lambda unit: unit.ledger.transfer(one))] * 4)  # type: ignore[misc]  # default binds
            kept = written(relational, one)
            assert sorted(map(str, ends)) == sorted(map(str, [Created(kept), *[Exists(kept)] * 3]))
        assert balances(relational, bob) == {"EUR": (30, 0)}


class TestRaces:
    def test_two_debits_that_fit_only_alone(self, relational: RelationalStore) -> None:
        for _ in range(10):
            ada, others = wallet(relational, 10), [uuid4() for _ in range(4)]
            ends = together([lambda to=to, ada=ada: pay(relational, ada, to, 6) for to in others])  # type: ignore[misc]  # default binds
            assert sum(isinstance(end, Transfer) for end in ends) == 1
            assert sum(isinstance(end, Insufficient) for end in ends) == 3
            assert balances(relational, ada) == {"EUR": (4, 0)}

    def test_concurrent_transfers_keep_the_sum(self, relational: RelationalStore) -> None:
        people = [wallet(relational, 50) for _ in range(4)]

        def trade(seed: int) -> int:
            draws, refused = random.Random(seed), 0  # noqa: S311  - a simulation
            for _ in range(25):
                debit, credit = draws.sample(people, 2)
                try:
                    pay(relational, debit, credit, draws.randint(1, 60))
                except (Insufficient, Contention):
                    refused += 1
            return refused

        ends = together([lambda seed=seed: trade(seed) for seed in range(6)])  # type: ignore[misc]  # default binds
        assert all(isinstance(end, int) for end in ends)
        owned = [balances(relational, one)["EUR"][0] for one in people]
        assert sum(owned) == 200
        assert min(owned) >= 0
        assert [relational.ledger.entries(one, "EUR", limit=1)[0].balance for one in people] == owned

    def test_crossed_transfers_never_deadlock(self, relational: RelationalStore) -> None:
        ada, bob = wallet(relational, 1000), wallet(relational, 1000)

        def cross(debit: UUID, credit: UUID) -> None:
            for _ in range(20):
                do(relational, lambda unit: unit.ledger.transfer(transfer(debit, credit, 1)))

        assert together([lambda: cross(ada, bob), lambda: cross(bob, ada)] * 2) == [None] * 4

    def test_locking_first_orders_commands_over_many_accounts(self, relational: RelationalStore) -> None:
        people = [wallet(relational, 100) for _ in range(4)]

        def spread(debit: UUID) -> None:
            others = [one for one in people if one != debit]
            for _ in range(6):
                with relational.transaction() as unit:
                    unit.ledger.lock(people, "EUR")
                    for credit in reversed(others):
                        unit.ledger.transfer(transfer(debit, credit, 1))

        assert together([lambda one=one: spread(one) for one in people]) == [None] * 4  # type: ignore[misc]  # default binds
        assert [balances(relational, one)["EUR"] for one in people] == [(100, 0)] * 4

    def test_lock_opens_accounts(self, relational: RelationalStore) -> None:
        new = [uuid4() for _ in range(3)]
        ends = together([lambda: surely(relational, lambda unit: unit.ledger.lock(new, "EUR"))] * 4)
        assert all(isinstance(end, datetime) for end in ends)
        assert [balances(relational, one) for one in new] == [{"EUR": (0, 0)}] * 3


class TestHolds:
    def test_sets_money_aside(self, relational: RelationalStore) -> None:
        ada, bob = wallet(relational, 100), wallet(relational)
        wanted = held(ada, bob, 60, order_id=uuid4())
        posted = do(relational, lambda unit: unit.ledger.hold(wanted))
        hold = written(relational, wanted)
        assert posted == Created(hold)
        (balance,) = relational.ledger.wallet(ada)
        assert (balance.posted, balance.held, balance.available) == (100, 60, 40)
        assert relational.ledger.wallet(bob) == []
        assert len(relational.ledger.entries(ada, "EUR", limit=9)) == 1
        assert do(relational, lambda unit: unit.ledger.hold(replace(hold, expires_at=NOW + 9 * SECOND))) == Exists(hold)
        assert do(relational, lambda unit: unit.ledger.open_holds(hold.order_id or ada)) == [hold]
        for work in (
            lambda unit: unit.ledger.transfer(transfer(ada, bob, 41)),
            lambda unit: unit.ledger.hold(held(ada, bob, 41)),
        ):
            with pytest.raises(Insufficient):
                do(relational, work)
        do(relational, lambda unit: unit.ledger.transfer(transfer(ada, bob, 40)))
        assert balances(relational, ada) == {"EUR": (60, 60)}

    @pytest.mark.parametrize("paid", [None, 60, 59, 1])
    def test_posting_pays_and_frees_the_rest(self, relational: RelationalStore, paid: int | None) -> None:
        ada, bob, hold = self.with_hold(relational)
        end = uuid4()
        posted = made(do(relational, lambda unit: unit.ledger.post(end, hold.id, amount=paid, at=NOW)))
        amount = 60 if paid is None else paid
        assert (posted.id, posted.phase, posted.hold_id, posted.amount.amount) == (end, "post", hold.id, amount)
        assert (posted.debit, posted.credit, posted.order_id) == (ada, bob, hold.order_id)
        assert balances(relational, ada) == {"EUR": (100 - amount, 0)}
        assert balances(relational, bob) == {"EUR": (amount, 0)}
        again = do(relational, lambda unit: unit.ledger.post(end, hold.id, amount=paid, at=NOW + 9 * SECOND))
        assert again == Exists(posted) == Exists(relational.ledger.get([end])[end])
        other = do(relational, lambda unit: unit.ledger.post(end, hold.id, amount=amount + 1, at=NOW))
        assert other == Differs(posted, "amount")

    @pytest.mark.parametrize("paid", [0, -1, 61, LARGEST + 1])
    def test_posting_more_than_is_held(self, relational: RelationalStore, paid: int) -> None:
        ada, _, hold = self.with_hold(relational)
        with pytest.raises(Invalid):
            do(relational, lambda unit: unit.ledger.post(uuid4(), hold.id, amount=paid, at=NOW))
        assert balances(relational, ada) == {"EUR": (100, 60)}

    def test_voiding_frees_all(self, relational: RelationalStore) -> None:
        ada, bob, hold = self.with_hold(relational)
        end = uuid4()
        voided = made(do(relational, lambda unit: unit.ledger.void(end, hold.id)))
        assert (voided.phase, voided.hold_id, voided.amount) == ("void", hold.id, hold.amount)
        assert voided.created_at > hold.created_at
        assert do(relational, lambda unit: unit.ledger.void(end, hold.id)) == Exists(voided)
        assert balances(relational, ada) == {"EUR": (100, 0)}
        assert relational.ledger.wallet(bob) == []

    @pytest.mark.parametrize("how", ["post", "void", "expire"])
    def test_ends_once(self, relational: RelationalStore, how: str) -> None:
        ada, _, hold = self.with_hold(relational)
        late = NOW + SECOND
        do(relational, ending(how, hold, NOW if how == "post" else late))
        before = balances(relational, ada)
        for other in ("post", "void", "expire"):
            with pytest.raises(Resolved) as caught:
                do(relational, ending(other, hold, late))
            assert caught.value.outcome == how
        assert balances(relational, ada) == before

    def test_an_id_ends_one_hold(self, relational: RelationalStore) -> None:
        _, _, hold = self.with_hold(relational)
        _, _, other = self.with_hold(relational)
        end = uuid4()
        voided = made(do(relational, lambda unit: unit.ledger.void(end, hold.id)))
        assert do(relational, lambda unit: unit.ledger.post(end, hold.id, at=NOW)) == Differs(voided, "phase")
        for work in (
            lambda unit: unit.ledger.void(end, other.id),
            lambda unit: unit.ledger.post(end, other.id, at=NOW),
        ):
            with pytest.raises(Conflict):
                do(relational, work)
        assert made(do(relational, lambda unit: unit.ledger.post(uuid4(), other.id, at=NOW))).amount == other.amount
        assert do(relational, lambda unit: unit.ledger.void(end, other.id)) == Differs(voided, "hold_id")

    def test_ending_an_unknown_hold_is_not_found(self, relational: RelationalStore) -> None:
        ada, bob = wallet(relational, 10), wallet(relational)
        paid = pay(relational, ada, bob, 1)
        for one in (uuid4(), paid.id):
            for how in ("post", "void", "expire"):
                with pytest.raises(NotFound):
                    do(relational, ending(how, held(ada, bob, 1, id=one), NOW))

    def test_the_moment_of_expiry(self, relational: RelationalStore) -> None:
        ada, _, hold = self.with_hold(relational)
        due = NOW + SECOND
        assert hold not in relational.ledger.due_holds(now=due - MICROSECOND, limit=999)
        assert hold in relational.ledger.due_holds(now=due, limit=999)
        with pytest.raises(Invalid):
            do(relational, ending("expire", hold, due - MICROSECOND))
        with pytest.raises(Resolved) as caught:
            do(relational, ending("post", hold, due))
        assert caught.value.outcome == "expire"
        assert balances(relational, ada) == {"EUR": (100, 60)}
        do(relational, ending("expire", hold, due))
        assert balances(relational, ada) == {"EUR": (100, 0)}
        assert hold not in relational.ledger.due_holds(now=due, limit=999)
        _, _, other = self.with_hold(relational)
        do(relational, ending("post", other, due - MICROSECOND))

    def test_due_holds_come_longest_due_first(self, relational: RelationalStore) -> None:
        ada, bob = wallet(relational, 100), wallet(relational)
        early = [held(ada, bob, 1, expires_at=NOW - 100 * SECOND + turn * MICROSECOND) for turn in (2, 0, 1)]
        for one in early:
            do(relational, lambda unit, one=one: unit.ledger.hold(one))  # type: ignore[misc]  # default binds
        due = relational.ledger.due_holds(now=NOW - 99 * SECOND, limit=2)
        assert due == [written(relational, one) for one in (early[1], early[2])]

    def test_one_of_concurrent_calls_ends_it(self, relational: RelationalStore) -> None:
        for _ in range(8):
            ada, bob, hold = self.with_hold(relational)
            works = [ending(how, hold, at) for how, at in (("post", NOW), ("void", NOW), ("expire", NOW + SECOND))]
            ends = together([lambda work=work: surely(relational, work) for work in [*works, *works]])  # type: ignore[misc]  # default binds
            assert sum(isinstance(end, Created) for end in ends) == 1
            assert sum(isinstance(end, Resolved) for end in ends) == 5
            left, aside = balances(relational, ada)["EUR"]
            assert aside == 0
            assert left + balances(relational, bob).get("EUR", (0, 0))[0] == 100

    def with_hold(self, relational: RelationalStore) -> tuple[UUID, UUID, Transfer]:
        ada, bob = wallet(relational, 100), wallet(relational)
        hold = held(ada, bob, 60, order_id=uuid4())
        do(relational, lambda unit: unit.ledger.hold(hold))
        return ada, bob, written(relational, hold)


class TestReads:
    def test_pages_of_entries(self, relational: RelationalStore) -> None:
        ada, bob = wallet(relational, 100), wallet(relational)
        for turn in range(1, 6):
            pay(relational, ada, bob, turn)
        whole = relational.ledger.entries(ada, "EUR", limit=99)
        assert [entry.sequence for entry in whole] == [6, 5, 4, 3, 2, 1]
        assert [entry.balance for entry in whole] == [85, 90, 94, 97, 99, 100]
        first = relational.ledger.entries(ada, "EUR", limit=2)
        pay(relational, ada, bob, 50)
        rest = relational.ledger.entries(ada, "EUR", before=first[-1].sequence, limit=99)
        assert first + rest == whole
        assert relational.ledger.entries(ada, "EUR", limit=0) == []
        with pytest.raises(Invalid):
            relational.ledger.entries(ada, "EUR", limit=-1)
        at = whole[2].at
        assert relational.ledger.entries(ada, "EUR", until=at, limit=99) == whole[2:]
        assert relational.ledger.entries(ada, "EUR", until=at, before=4, limit=1) == [whole[3]]

    def test_a_statement_is_of_a_period(self, relational: RelationalStore) -> None:
        ada, bob = wallet(relational, 100), wallet(relational)
        for turn in range(1, 5):
            pay(relational, ada, bob, turn)
        whole = relational.ledger.entries(ada, "EUR", limit=99)[::-1]
        period = {"since": whole[1].at, "until": whole[4].at}
        assert relational.ledger.statement(ada, "EUR", **period, after=0, limit=99) == whole[1:4]
        assert relational.ledger.statement(ada, "EUR", **period, after=whole[1].sequence, limit=1) == [whole[2]]
        assert relational.ledger.statement(bob, "USD", **period, after=0, limit=99) == []
        assert relational.ledger.statement(ada, "EUR", since=NOW, until=NOW + SECOND, after=0, limit=99) == []

    def test_balance_at_a_moment(self, relational: RelationalStore) -> None:
        ada, bob = wallet(relational, 100), wallet(relational)
        pay(relational, ada, bob, 10)
        later, first = (entry.at for entry in relational.ledger.entries(ada, "EUR", limit=9))
        moments = (first - MICROSECOND, first, later - MICROSECOND, later, later + 99 * SECOND)
        assert [relational.ledger.balance_at(ada, "EUR", at) for at in moments] == [0, 100, 100, 90, 90]
        assert relational.ledger.balance_at(ada, "USD", NOW) == 0

    def test_the_sum_of_balances_is_the_same_at_any_past_moment(self, relational: RelationalStore) -> None:
        people = [wallet(relational, 1000) for _ in range(6)]
        chance = random.Random(3)  # noqa: S311 - test data

        def pay_around() -> None:
            for _ in range(15):
                ada, bob = chance.sample(people, 2)
                surely(relational, lambda unit: unit.ledger.transfer(transfer(ada, bob, 7)))  # noqa: B023 - called in its iteration

        begun = do(relational, lambda unit: unit.ledger.lock(people, "EUR"))
        together([pay_around] * 4)
        whole = [[entry.at for entry in relational.ledger.entries(p, "EUR", limit=99)] for p in people]
        for moment in {at for times in whole for at in times if at > begun}:
            assert sum(relational.ledger.balance_at(p, "EUR", moment) for p in people) == 6000
        assert whole == [sorted(set(times), reverse=True) for times in whole]
        assert list(relational.audit.ledger()) == []

    @pytest.mark.parametrize("said", [NOW, datetime(1999, 1, 1, tzinfo=UTC)])
    def test_the_callers_clock_has_no_effect(self, relational: RelationalStore, said: datetime) -> None:
        ada, bob = wallet(relational, 100, "SEK"), wallet(relational, 1, "SEK")
        lock: Callable[[Transaction], datetime] = lambda unit: unit.ledger.lock([ada], "SEK")  # noqa: E731
        paid = transfer(ada, bob, 10, "SEK", created_at=said)
        before = do(relational, lock)
        do(relational, lambda unit: unit.ledger.transfer(paid))
        after = do(relational, lock)
        (at,) = {relational.ledger.entries(one, "SEK", limit=1)[0].at for one in (ada, bob)}
        assert before < at < after
        assert abs(datetime.now(UTC) - after) < 60 * SECOND
        assert relational.ledger.get([paid.id])[paid.id].created_at == at
        hold = replace(held(ada, bob, 1, created_at=said), amount=Money(1, "SEK"))
        do(relational, lambda unit: unit.ledger.hold(hold))
        assert after < relational.ledger.get([hold.id])[hold.id].created_at < do(relational, lock)

    def test_times_rise_even_after_a_time_in_the_future(self, relational: RelationalStore) -> None:
        """Stored times may be in the future after a load, if the clock of its machine was ahead, or if the database's
        clock was set back.
        """
        ada, bob = wallet(relational), wallet(relational, 1, "NOK")
        do(relational, lambda unit: unit.bulk.transfers([transfer(PROVIDER, ada, 100, "NOK")]))
        told = do(relational, lambda unit: unit.ledger.lock([ada], "NOK"))

        def pay_twice(unit: Transaction) -> None:
            for _ in range(2):
                unit.ledger.transfer(transfer(ada, bob, 10, "NOK"))

        do(relational, pay_twice)
        entries = relational.ledger.entries(ada, "NOK", limit=9)
        assert [entry.at for entry in entries] == [NOW + turn * MICROSECOND for turn in (2, 1, 0)]
        assert [entry.at for entry in relational.ledger.entries(bob, "NOK", limit=2)] == [e.at for e in entries[:2]]
        assert relational.ledger.balance_at(ada, "NOK", told) == 100
        assert list(relational.audit.ledger()) == []

    def test_balances_before_the_time_of_a_lock_are_final(self, relational: RelationalStore) -> None:
        """So a balance at the time that `lock` returns does not change after it was read."""
        ada, bob = wallet(relational, 100), wallet(relational, 1)
        told: list[tuple[UUID, datetime, int]] = []

        def trade() -> None:
            for _ in range(30):
                surely(relational, lambda unit: unit.ledger.transfer(transfer(ada, bob, 1)))

        def look() -> None:
            for turn in range(30):
                own = (ada, bob)[turn % 2]
                at = surely(relational, lambda unit: unit.ledger.lock([own], "EUR"))  # noqa: B023 - called in its iteration
                told.append((own, at, relational.ledger.balance_at(own, "EUR", at)))

        together([trade, trade, look, look])
        assert [relational.ledger.balance_at(own, "EUR", at) for own, at, _ in told] == [was for _, _, was in told]


class TestTheDatabaseItself:
    """The database itself enforces the rules, so they hold for statements that bypass the application too."""

    @pytest.mark.parametrize("table", [transfers, entries])
    def test_rows_cannot_be_changed_or_deleted(self, relational: RelationalStore, table: Table) -> None:
        ada, bob = wallet(relational, 10), wallet(relational)
        paid = pay(relational, ada, bob, 4)
        mine = (transfers.c.id if table is transfers else entries.c.transfer_id) == paid.id
        for statement in (update(table).where(mine).values(amount=table.c.amount + 1), delete(table).where(mine)):
            with pytest.raises(SQLAlchemyError, match="append-only"):
                sql(relational, statement)
        names = [column.name for column in table.c]
        with pytest.raises(SQLAlchemyError):
            sql(relational, insert(table).prefix_with("OR REPLACE").from_select(names, select(table).where(mine)))
        with pytest.raises(SQLAlchemyError):
            sql(relational, f"TRUNCATE {table.name}")
        assert sum(entry.amount for entry in relational.ledger.entries(bob, "EUR", limit=9)) == 4

    def test_a_transfer_needs_both_entries(self, relational: RelationalStore) -> None:
        ada, bob = wallet(relational, 10), wallet(relational)
        paid = pay(relational, ada, bob, 4)
        new, copy = copied(paid)
        legs = [leg(paid, new, owner) for owner in (ada, bob)]
        for statements in ([copy], [copy, legs[0]], [copy, legs[1]]):
            with pytest.raises(SQLAlchemyError):
                sql(relational, *statements)
        sql(relational, copy, *legs)

    @pytest.mark.parametrize("amount", [-5, 4, -8, -3])
    def test_entries_must_match_their_transfer(self, relational: RelationalStore, amount: int) -> None:
        ada, bob = wallet(relational, 10), wallet(relational)
        paid = pay(relational, ada, bob, 4)
        new, copy = copied(paid)
        with pytest.raises(SQLAlchemyError, match="no leg"):
            sql(relational, copy, leg(paid, new, ada, amount), leg(paid, new, bob))
        with pytest.raises(SQLAlchemyError):
            sql(relational, leg(paid, paid.id, ada))

    @pytest.mark.parametrize(
        "change",
        [{"posted": 59}, {"held": 101}, {"held": -1}, {"posted": -1, "held": 0}, {"posted": -LARGEST - 1, "held": 0}],
    )
    def test_balances_have_checks(self, relational: RelationalStore, change: dict[str, int]) -> None:
        ada, bob = wallet(relational, 100), wallet(relational)
        do(relational, lambda unit: unit.ledger.hold(held(ada, bob, 60)))
        with pytest.raises(SQLAlchemyError):
            sql(relational, update(ledger_accounts).where(ledger_accounts.c.owner == ada).values(**change))

    def test_without_the_condition_the_check_holds(
        self, relational: RelationalStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ada, bob = wallet(relational, 10), wallet(relational)
        loose = balance_writes._MOVE.where()
        loose._where_criteria = tuple(part for part in loose._where_criteria if "may_overdraw" not in str(part))
        assert len(loose._where_criteria) == len(balance_writes._MOVE._where_criteria) - 1
        monkeypatch.setattr(balance_writes, "_MOVE", loose)
        with pytest.raises(Inconsistent):
            pay(relational, ada, bob, 11)
        assert balances(relational, ada) == {"EUR": (10, 0)}


class TestBulk:
    def test_posts_in_the_order_given(self, relational: RelationalStore) -> None:
        ada, bob = wallet(relational), wallet(relational)
        rows = [transfer(PROVIDER, ada, 50), transfer(ada, bob, 20), transfer(PROVIDER, bob, 3, "USD")]
        for _ in range(2):
            do(relational, lambda unit: unit.bulk.transfers([*rows, rows[0]]))
        assert balances(relational, ada) == {"EUR": (30, 0)}
        assert balances(relational, bob) == {"EUR": (20, 0), "USD": (3, 0)}
        assert relational.ledger.get([one.id for one in rows]) == {one.id: one for one in rows}
        assert do(relational, lambda unit: unit.ledger.transfer(rows[1])) == Exists(rows[1])
        pay(relational, ada, bob, 30)
        assert [one.balance for one in relational.ledger.entries(ada, "EUR", limit=9)] == [0, 30, 50]

    def test_refuses_overdrafts_and_invalid_amounts(self, relational: RelationalStore) -> None:
        ada, bob = wallet(relational), wallet(relational)
        with pytest.raises(Insufficient):
            do(relational, lambda unit: unit.bulk.transfers([transfer(ada, bob, 1), transfer(PROVIDER, ada, 1)]))
        with pytest.raises(Invalid):
            do(relational, lambda unit: unit.bulk.transfers([transfer(PROVIDER, ada, 0)]))
        do(relational, lambda unit: unit.bulk.transfers([]))
        assert relational.ledger.wallet(ada) == []


def pay(store: RelationalStore, debit: UUID, credit: UUID, amount: int) -> Transfer:
    one = transfer(debit, credit, amount)
    return made(surely(store, lambda unit: unit.ledger.transfer(one)))


def made(posting: Posting) -> Transfer:
    assert isinstance(posting, Created)
    return posting.transfer


def ending(how: str, hold: Transfer, at: object) -> Callable[[Transaction], Posting]:
    moment = {} if how == "void" else {"at": at}
    return lambda unit: getattr(unit.ledger, how)(uuid4(), hold.id, **moment)


def copied(one: Transfer) -> tuple[UUID, Insert]:
    """The new id, and a statement that copies the transfer under it."""
    new = uuid4()
    columns = [literal(new, ID) if column.name == "id" else column for column in transfers.c]
    source = select(*columns).where(transfers.c.id == one.id)
    return new, insert(transfers).from_select([column.name for column in transfers.c], source)


def leg(one: Transfer, new: UUID, owner: UUID, amount: int | None = None) -> Insert:
    """A statement that copies an entry of the transfer for a new one."""
    others: dict[str, Any] = {"sequence": entries.c.sequence + 100, "transfer_id": literal(new, ID)}
    if amount is not None:
        others["amount"] = literal(amount)
    source = select(*(others.get(column.name, column) for column in entries.c))
    mine = source.where(entries.c.transfer_id == one.id, entries.c.owner == owner)
    return insert(entries).from_select([column.name for column in entries.c], mine)
