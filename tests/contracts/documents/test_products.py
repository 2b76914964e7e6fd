"""The contract of the documents role: products."""

import math
from functools import partial
from uuid import uuid4

import pytest
from msgspec.structs import replace

from repositories.documents import DocumentStore
from repositories.errors import Conflict, NotFound, Stale
from repositories.records.money import Money
from repositories.records.products import AttributeValue, Facets, FacetValue, Product, ProductFilter
from tests.contracts.document_store import (
    TEXTS,
    a_product,
    an_event,
    at,
    at_once,
    dispatch_all,
    offered,
)

ANY = ProductFilter()


def found(store: DocumentStore, **where: object) -> list[Product]:
    return store.products.page(ProductFilter(**where), before=None, limit=99)  # type: ignore[arg-type]  # by name


def having(store: DocumentStore, *pairs: tuple[str, str]) -> list[Product]:
    return store.products.page(ProductFilter(attributes=pairs), before=None, limit=99)


@pytest.mark.parametrize("text", TEXTS)
def test_text_comes_back_as_it_was(store: DocumentStore, text: str) -> None:
    attributes: dict[str, AttributeValue] = {text: text, "n": text * 2}
    product = offered(store, title=text, description=text, category=text, attributes=attributes)
    offered(store, category="other", attributes={"n": "x"})
    assert store.products.get([product.id]) == {product.id: product}
    assert found(store, category=text) == [product]
    assert having(store, (text, text)) == [product]
    assert having(store, ("n", text * 2), (text, text)) == [product]
    assert having(store, ("n", text)) == []
    facets = store.products.facets(ANY, sample=9, values=9)
    assert facets.attributes[text] == (FacetValue(text, 1),)
    assert facets.categories == tuple(FacetValue(value, 1) for value in sorted({text, "other"}))


VALUES: list[AttributeValue] = [
    *("", "1", "true", 0, 1, -1, 2**31, 2**63 - 1, -(2**63), True, False),
    *(0.0, 1.0, 4.5, 1e16, 1e308, -1e308, 5e-324, 0.1 + 0.2),
]


@pytest.mark.parametrize("value", VALUES)
def test_attributes_keep_value_and_type(store: DocumentStore, value: AttributeValue) -> None:
    product = offered(store, attributes={"a": value})
    kept = store.products.get([product.id])[product.id].attributes["a"]
    assert kept == value
    assert type(kept) is type(value)


def test_minus_zero_keeps_its_sign(store: DocumentStore) -> None:
    product = offered(store, attributes={"a": -0.0})
    kept = store.products.get([product.id])[product.id].attributes["a"]
    assert isinstance(kept, float)
    assert math.copysign(1, kept) == -1
    assert having(store, ("a", "0")) == [product]


def test_attributes_are_compared_by_their_text(store: DocumentStore) -> None:
    values: list[AttributeValue] = ["4", 4, 4.0, "true", True, "True", 4.5]
    products = [offered(store, attributes={"a": value}) for value in values]
    assert having(store, ("a", "4")) == products[2::-1]
    assert having(store, ("a", "true")) == products[4:2:-1]
    assert having(store, ("a", "4.5")) == [products[6]]
    assert having(store, ("A", "4")) == []


def test_attributes_keep_their_order(store: DocumentStore) -> None:
    product = offered(store, attributes={"z": 1, "a": 2, "m": 3})
    assert list(store.products.get([product.id])[product.id].attributes) == ["z", "a", "m"]


def test_money_fits_64_bits(store: DocumentStore) -> None:
    prices = [Money(amount, "EUR") for amount in (0, -1, 2**63 - 1, -(2**63))]
    products = [offered(store, price=price, created_at=at(1), updated_at=at(2)) for price in prices]
    assert store.products.get([p.id for p in products]) == {p.id: p for p in products}
    assert found(store, price_min=2**63 - 1) == [products[2]]
    assert found(store, price_max=-1) == [products[3], products[1]]


def test_versions_guard_changes(store: DocumentStore) -> None:
    product = offered(store, attributes={"old": 1}, category="old")
    with pytest.raises(Conflict):
        store.products.add(product, an_event())
    changed = replace(product, version=2, attributes={"new": 1}, category="new")
    store.products.replace(changed, an_event(), if_version=1)
    with pytest.raises(Stale):
        store.products.replace(product, an_event(), if_version=1)
    with pytest.raises(Stale):
        store.products.delete(product.id, an_event(), if_version=1)
    assert store.products.get([product.id]) == {product.id: changed}
    assert having(store, ("old", "1")) == found(store, category="old") == []
    assert having(store, ("new", "1")) == found(store, category="new") == [changed]
    assert len(dispatch_all(store)) == 2


def test_one_of_two_writers_wins(store: DocumentStore) -> None:
    product = offered(store)
    changed = [replace(product, version=2, title=str(n)) for n in range(8)]
    results = at_once([partial(store.products.replace, one, an_event(), if_version=1) for one in changed])
    assert results.count(None) == 1
    assert store.products.get([product.id]) == {product.id: changed[results.index(None)]}


def test_a_deleted_product_is_in_no_read(store: DocumentStore) -> None:
    product = offered(store, attributes={"a": 1})
    store.products.delete(product.id, an_event(), if_version=1)
    for _ in range(2):
        assert store.products.get([product.id]) == {}
        assert found(store) == found(store, category="category") == having(store, ("a", "1")) == []
        assert found(store, price_min=0) == []
        assert store.products.facets(ANY, sample=9, values=9) == Facets(0, (), {})
        with pytest.raises(NotFound):
            store.products.delete(product.id, an_event(), if_version=1)
        with pytest.raises(NotFound):
            store.products.replace(product, an_event(), if_version=1)
        dispatch_all(store)
    assert store.products.get([uuid4()]) == store.products.get([]) == {}


def test_pages_are_newest_first(store: DocumentStore) -> None:
    products = [offered(store) for _ in range(5)][::-1]
    assert store.products.page(ANY, before=None, limit=2) == products[:2]
    assert store.products.page(ANY, before=products[1].id, limit=9) == products[2:]
    assert store.products.page(ANY, before=products[4].id, limit=9) == []
    assert store.products.page(ANY, before=None, limit=0) == []


def test_every_part_of_a_filter_must_hold(store: DocumentStore) -> None:
    kinds = [(c, s, p) for c in ("shirt", "shoe") for s in ("S", "M") for p in (999, 1000, 2000)]
    products = {
        kind: offered(store, category=kind[0], attributes={"size": kind[1], "n": 1}, price=Money(kind[2], "EUR"))
        for kind in kinds
    }

    def expected(category: str | None, size: str | None, low: int, high: int) -> list[Product]:
        which = [k for k in kinds if category in {None, k[0]} and size in {None, k[1]} and low <= k[2] <= high]
        return [products[kind] for kind in reversed(which)]

    assert found(store, category="shirt", price_max=999) == expected("shirt", None, 0, 999)
    assert found(store, price_min=1000, price_max=2000) == expected(None, None, 1000, 2000)
    assert found(store, price_min=1000, price_max=1000) == expected(None, None, 1000, 1000)
    assert found(store, price_min=2001) == found(store, price_min=2, price_max=1) == []
    assert having(store, ("size", "M")) == expected(None, "M", 0, 9999)
    assert having(store, ("size", "M"), ("n", "1")) == expected(None, "M", 0, 9999)
    assert having(store, ("size", "M"), ("size", "S")) == having(store, ("size", "1"), ("n", "M")) == []
    everything = ProductFilter("shoe", (("size", "S"), ("n", "1")), 1000, 2000)
    wanted = expected("shoe", "S", 1000, 2000)
    assert store.products.page(everything, before=None, limit=9) == wanted
    assert store.products.page(everything, before=wanted[0].id, limit=9) == wanted[1:]
    assert store.products.facets(everything, sample=9, values=9).counted == 2


def test_facets_are_in_the_order_of_their_names(store: DocumentStore) -> None:
    """The order gives a page the same bytes and the same entity tag in every read and on every engine."""
    names = ["Zone", "colour", "height", "n", "socket", "watts", "width", "\u00e9tage"]
    offered(store, attributes=dict.fromkeys(reversed(names), "1"))
    assert [*store.products.facets(ANY, sample=9, values=9).attributes] == names


def test_facets_count_what_matches(store: DocumentStore) -> None:
    rows: list[tuple[str, dict[str, AttributeValue]]] = [
        ("b", {"color": "red", "size": 4}),
        ("a", {"color": "red", "size": 4.0}),
        ("a", {"color": "blue", "size": "4"}),
        ("b", {"color": "green"}),
        ("c", {}),
    ]
    for category, attributes in rows:
        offered(store, category=category, attributes=attributes)
    facets = store.products.facets(ANY, sample=99, values=9)
    assert facets.counted == 5
    assert facets.categories == (FacetValue("a", 2), FacetValue("b", 2), FacetValue("c", 1))
    color = (FacetValue("red", 2), FacetValue("blue", 1), FacetValue("green", 1))
    assert facets.attributes == {"color": color, "size": (FacetValue("4", 3),)}
    filtered = store.products.facets(ProductFilter(category="a"), sample=99, values=9)
    assert (filtered.counted, filtered.categories) == (2, (FacetValue("a", 2),))


def test_facets_are_bounded(store: DocumentStore) -> None:
    for n in range(12):
        offered(store, category=f"{n % 4}", attributes={"n": n, "half": n // 2})
    facets = store.products.facets(ANY, sample=6, values=2)
    assert facets.counted == 6
    assert facets.categories == (FacetValue("2", 2), FacetValue("3", 2))
    assert facets.attributes == {
        "n": (FacetValue("10", 1), FacetValue("11", 1)),
        "half": (FacetValue("3", 2), FacetValue("4", 2)),
    }
    assert store.products.facets(ANY, sample=0, values=2) == Facets(0, (), {})


def test_facets_without_a_match_are_empty(store: DocumentStore) -> None:
    assert store.products.facets(ANY, sample=9, values=9) == Facets(0, (), {})
    offered(store)
    assert store.products.facets(ProductFilter(category="x"), sample=9, values=9) == Facets(0, (), {})


def test_loaded_products_have_no_events(store: DocumentStore) -> None:
    there = offered(store, title="there", attributes={"a": "kept"})
    dispatch_all(store)
    products = [a_product(attributes={"a": "new"}) for _ in range(5)]
    for _ in range(2):
        store.products.load([replace(there, title="other", attributes={"a": "other"}), *products, products[0]])
    assert found(store) == [*products[::-1], there]
    assert having(store, ("a", "new")) == products[::-1]
    assert having(store, ("a", "other")) == []
    assert store.outbox.backlog().unsent == 0
    store.products.load([])
