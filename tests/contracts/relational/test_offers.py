"""The contract of the relational store: offers."""

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest

from repositories.errors import Short, Stale
from repositories.relational import RelationalStore, Transaction
from repositories.relational.offers_port import OfferState, Settled
from tests.contracts.relational_store import NOW
from tests.contracts.transactions import SECOND, do

ONE, OTHER = b"1" * 32, b"2" * 32
Write = Callable[[Transaction], object]


def state(store: RelationalStore, product: UUID) -> OfferState | None:
    return store.offers.get([product]).get(product)


def settle(product: UUID, changing: int, digest: bytes) -> Write:
    return lambda tx: tx.offers.settle([Settled(product, changing, digest)])


def test_a_begun_write_voids_the_known_offer(store: RelationalStore) -> None:
    product = uuid4()
    assert store.offers.get([product]) == store.offers.get([]) == {}
    do(store, settle(product, 0, ONE))
    assert state(store, product) == OfferState(0, ONE)
    do(store, lambda tx: tx.offers.begin(product, 3))
    assert state(store, product) == OfferState(3, None)
    do(store, settle(product, 3, OTHER))
    assert state(store, product) == OfferState(3, OTHER)


def test_a_read_from_before_a_write_settles_nothing(store: RelationalStore) -> None:
    product = uuid4()
    do(store, lambda tx: tx.offers.begin(product, 1))
    for changing in (0, 2):
        do(store, settle(product, changing, ONE))
        assert state(store, product) == OfferState(1, None)
    do(store, lambda tx: tx.offers.begin(product, 2))
    do(store, lambda tx: tx.offers.begin(product, 1))
    do(store, settle(product, 1, ONE))
    assert state(store, product) == OfferState(2, None)


def test_several_are_settled_at_once(store: RelationalStore) -> None:
    one, other = uuid4(), uuid4()
    do(store, lambda tx: tx.offers.begin(other, 1))
    do(store, lambda tx: tx.offers.settle([Settled(one, 0, ONE), Settled(other, 0, ONE)]))
    do(store, lambda tx: tx.offers.settle([]))
    assert store.offers.get([one, other]) == {one: OfferState(0, ONE), other: OfferState(1, None)}


def test_begun_lists_unfinished_writes(new_store: Callable[[], RelationalStore]) -> None:
    store = new_store()
    first, second, settled, closed = (uuid4() for _ in range(4))
    for one in (first, second, settled, closed):
        do(store, lambda tx, one=one: tx.offers.begin(one, 1))  # type: ignore[misc]  # default binds
    do(store, settle(settled, 1, ONE))
    do(store, lambda tx: tx.offers.close(closed))
    later = store.now() + SECOND
    assert store.offers.begun(before=later, limit=9) == [first, second]
    assert store.offers.begun(before=later, limit=1) == [first]
    assert store.offers.begun(before=later - SECOND * 3600, limit=9) == []
    assert state(store, closed) == OfferState(1, None)
    do(store, lambda tx: tx.offers.close(settled))
    assert state(store, settled) == OfferState(1, None)
    ordered = sorted((first, second, settled, closed))
    assert store.offers.page(after=None, limit=3) == ordered[:3]
    assert store.offers.page(after=ordered[2], limit=3) == ordered[3:]
    do(store, lambda tx: tx.offers.forget(closed))
    assert state(store, closed) is None


class TestReserving:
    def test_an_offer_other_than_the_known_one_is_stale(self, store: RelationalStore) -> None:
        one, other, free = (stocked(store) for _ in range(3))
        do(store, settle(one, 0, ONE))
        do(store, settle(other, 0, OTHER))
        reserve(store, {one: 1, other: 1, free: 1}, {one: ONE, other: OTHER})
        reserve(store, {one: 1}, {one: ONE})
        for wrong in ({one: OTHER}, {one: ONE, other: ONE}, {free: ONE}):
            with pytest.raises(Stale):
                reserve(store, dict.fromkeys(wrong, 1), wrong)
        do(store, lambda tx: tx.offers.begin(other, 1))
        with pytest.raises(Stale):
            reserve(store, {one: 1, other: 1}, {one: ONE, other: OTHER})
        assert store.stock.available([one, other, free]) == {one: 3, other: 4, free: 4}

    def test_a_stale_offer_is_reported_before_a_shortage(self, store: RelationalStore) -> None:
        one, other = sorted((stocked(store), stocked(store)))
        do(store, settle(one, 0, ONE))
        do(store, settle(other, 0, ONE))
        with pytest.raises(Short) as short:
            reserve(store, {one: 9, other: 1}, {one: ONE, other: ONE})
        assert short.value.product_id == one
        with pytest.raises(Short):
            reserve(store, {one: 1, other: 9}, {one: ONE})
        for offers in ({one: OTHER}, {one: ONE, other: OTHER}):
            with pytest.raises(Stale):
                reserve(store, {one: 9, other: 1}, offers)
        assert store.stock.available([one, other]) == {one: 5, other: 5}


def stocked(store: RelationalStore) -> UUID:
    product = uuid4()
    do(store, lambda tx: tx.stock.put(product, 5))
    return product


def reserve(store: RelationalStore, units: dict[UUID, int], offers: dict[UUID, bytes]) -> None:
    do(store, lambda tx: tx.stock.reserve(uuid4(), units, expires_at=NOW + SECOND, offers=offers))
