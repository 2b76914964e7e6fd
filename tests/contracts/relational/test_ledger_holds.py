"""The contract of the ledger: holds."""

from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from repositories.errors import Conflict, Insufficient, Invalid, NotFound, Resolved
from repositories.records.money import Created, Differs, Exists, Transfer
from repositories.relational import RelationalStore
from tests.contracts.money import balances, held, transfer, wallet, written
from tests.contracts.relational.ledger_steps import created_transfer, ending, pay
from tests.contracts.relational_store import NOW
from tests.contracts.transactions import LARGEST, MICROSECOND, SECOND, do, do_retrying, together


class TestHolds:
    def test_sets_money_aside(self, store: RelationalStore) -> None:
        ada, bob = wallet(store, 100), wallet(store)
        wanted = held(ada, bob, 60, order_id=uuid4())
        posted = do(store, lambda unit: unit.ledger.hold(wanted))
        hold = written(store, wanted)
        assert posted == Created(hold)
        (balance,) = store.ledger.wallet(ada)
        assert (balance.posted, balance.held, balance.available) == (100, 60, 40)
        assert store.ledger.wallet(bob) == []
        assert len(store.ledger.entries(ada, "EUR", limit=9)) == 1
        assert do(store, lambda unit: unit.ledger.hold(replace(hold, expires_at=NOW + 9 * SECOND))) == Exists(hold)
        assert do(store, lambda unit: unit.ledger.open_holds(hold.order_id or ada)) == [hold]
        for work in (
            lambda unit: unit.ledger.transfer(transfer(ada, bob, 41)),
            lambda unit: unit.ledger.hold(held(ada, bob, 41)),
        ):
            with pytest.raises(Insufficient):
                do(store, work)
        do(store, lambda unit: unit.ledger.transfer(transfer(ada, bob, 40)))
        assert balances(store, ada) == {"EUR": (60, 60)}

    @pytest.mark.parametrize("paid", [None, 60, 59, 1])
    def test_posting_pays_and_frees_the_rest(self, store: RelationalStore, paid: int | None) -> None:
        ada, bob, hold = self.with_hold(store)
        end = uuid4()
        posted = created_transfer(do(store, lambda unit: unit.ledger.post(end, hold.id, amount=paid, at=NOW)))
        amount = 60 if paid is None else paid
        assert (posted.id, posted.phase, posted.hold_id, posted.amount.amount) == (end, "post", hold.id, amount)
        assert (posted.debit, posted.credit, posted.order_id) == (ada, bob, hold.order_id)
        assert balances(store, ada) == {"EUR": (100 - amount, 0)}
        assert balances(store, bob) == {"EUR": (amount, 0)}
        again = do(store, lambda unit: unit.ledger.post(end, hold.id, amount=paid, at=NOW + 9 * SECOND))
        assert again == Exists(posted) == Exists(store.ledger.get([end])[end])
        other = do(store, lambda unit: unit.ledger.post(end, hold.id, amount=amount + 1, at=NOW))
        assert other == Differs(posted, "amount")

    @pytest.mark.parametrize("paid", [0, -1, 61, LARGEST + 1])
    def test_posting_more_than_is_held(self, store: RelationalStore, paid: int) -> None:
        ada, _, hold = self.with_hold(store)
        with pytest.raises(Invalid):
            do(store, lambda unit: unit.ledger.post(uuid4(), hold.id, amount=paid, at=NOW))
        assert balances(store, ada) == {"EUR": (100, 60)}

    def test_voiding_frees_all(self, store: RelationalStore) -> None:
        ada, bob, hold = self.with_hold(store)
        end = uuid4()
        voided = created_transfer(do(store, lambda unit: unit.ledger.void(end, hold.id)))
        assert (voided.phase, voided.hold_id, voided.amount) == ("void", hold.id, hold.amount)
        assert voided.created_at > hold.created_at
        assert do(store, lambda unit: unit.ledger.void(end, hold.id)) == Exists(voided)
        assert balances(store, ada) == {"EUR": (100, 0)}
        assert store.ledger.wallet(bob) == []

    @pytest.mark.parametrize("how", ["post", "void", "expire"])
    def test_ends_once(self, store: RelationalStore, how: str) -> None:
        ada, _, hold = self.with_hold(store)
        late = NOW + SECOND
        do(store, ending(how, hold, NOW if how == "post" else late))
        before = balances(store, ada)
        for other in ("post", "void", "expire"):
            with pytest.raises(Resolved) as caught:
                do(store, ending(other, hold, late))
            assert caught.value.outcome == how
        assert balances(store, ada) == before

    def test_an_id_ends_one_hold(self, store: RelationalStore) -> None:
        _, _, hold = self.with_hold(store)
        _, _, other = self.with_hold(store)
        end = uuid4()
        voided = created_transfer(do(store, lambda unit: unit.ledger.void(end, hold.id)))
        assert do(store, lambda unit: unit.ledger.post(end, hold.id, at=NOW)) == Differs(voided, "phase")
        for work in (
            lambda unit: unit.ledger.void(end, other.id),
            lambda unit: unit.ledger.post(end, other.id, at=NOW),
        ):
            with pytest.raises(Conflict):
                do(store, work)
        assert (
            created_transfer(do(store, lambda unit: unit.ledger.post(uuid4(), other.id, at=NOW))).amount == other.amount
        )
        assert do(store, lambda unit: unit.ledger.void(end, other.id)) == Differs(voided, "hold_id")

    def test_ending_an_unknown_hold_is_not_found(self, store: RelationalStore) -> None:
        ada, bob = wallet(store, 10), wallet(store)
        paid = pay(store, ada, bob, 1)
        for one in (uuid4(), paid.id):
            for how in ("post", "void", "expire"):
                with pytest.raises(NotFound):
                    do(store, ending(how, held(ada, bob, 1, id=one), NOW))

    def test_the_moment_of_expiry(self, store: RelationalStore) -> None:
        ada, _, hold = self.with_hold(store)
        due = NOW + SECOND
        assert hold not in store.ledger.due_holds(now=due - MICROSECOND, limit=999)
        assert hold in store.ledger.due_holds(now=due, limit=999)
        with pytest.raises(Invalid):
            do(store, ending("expire", hold, due - MICROSECOND))
        with pytest.raises(Resolved) as caught:
            do(store, ending("post", hold, due))
        assert caught.value.outcome == "expire"
        assert balances(store, ada) == {"EUR": (100, 60)}
        do(store, ending("expire", hold, due))
        assert balances(store, ada) == {"EUR": (100, 0)}
        assert hold not in store.ledger.due_holds(now=due, limit=999)
        _, _, other = self.with_hold(store)
        do(store, ending("post", other, due - MICROSECOND))

    def test_due_holds_come_longest_due_first(self, store: RelationalStore) -> None:
        ada, bob = wallet(store, 100), wallet(store)
        early = [held(ada, bob, 1, expires_at=NOW - 100 * SECOND + turn * MICROSECOND) for turn in (2, 0, 1)]
        for one in early:
            do(store, lambda unit, one=one: unit.ledger.hold(one))  # type: ignore[misc]  # default binds
        due = store.ledger.due_holds(now=NOW - 99 * SECOND, limit=2)
        assert due == [written(store, one) for one in (early[1], early[2])]

    def test_one_of_concurrent_calls_ends_it(self, store: RelationalStore) -> None:
        for _ in range(8):
            ada, bob, hold = self.with_hold(store)
            works = [ending(how, hold, at) for how, at in (("post", NOW), ("void", NOW), ("expire", NOW + SECOND))]
            ends = together([lambda work=work: do_retrying(store, work) for work in [*works, *works]])  # type: ignore[misc]  # default binds
            assert sum(isinstance(end, Created) for end in ends) == 1
            assert sum(isinstance(end, Resolved) for end in ends) == 5
            left, aside = balances(store, ada)["EUR"]
            assert aside == 0
            assert left + balances(store, bob).get("EUR", (0, 0))[0] == 100

    def with_hold(self, store: RelationalStore) -> tuple[UUID, UUID, Transfer]:
        ada, bob = wallet(store, 100), wallet(store)
        hold = held(ada, bob, 60, order_id=uuid4())
        do(store, lambda unit: unit.ledger.hold(hold))
        return ada, bob, written(store, hold)
