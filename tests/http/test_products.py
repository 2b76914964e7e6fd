"""The catalogue over HTTP."""

from typing import Any

import pytest

from tests.apps import Person, System

LAMP = {
    "title": "Lamp",
    "category": "home",
    "price": {"amount": 1250, "currency": "EUR"},
    "attributes": {"color": "red", "watts": 40, "dimmable": True, "weight": 1.5},
}


def offer(person: Person, **changes: object) -> str:
    return str(person.post("/products", LAMP | changes)["product"]["id"])


def titles(person: Person, **query: Any) -> list[str]:
    return [item["product"]["title"] for item in person.get("/products", **query)["items"]]


def test_a_product_is_offered_read_changed_and_withdrawn(system: System) -> None:
    ada, eve = system.person("ada"), system.person("eve")
    response = ada.send("POST", "/products", json=LAMP)
    card = response.get_json()
    product = card["product"]
    path = f"/products/{product['id']}"
    assert response.headers["Location"] == f"/api/v1{path}"
    assert {k: product[k] for k in LAMP} == LAMP
    assert (product["description"], card["stock"], card["seller"]["handle"]) == ("", {"available": 0}, "ada")
    tag = ada.etag(path)
    eve.patch(path, {"title": "Mine"}, 403, etag=tag)
    edited = ada.patch(path, {"price": {"amount": 999, "currency": "EUR"}, "attributes": {}}, etag=tag)
    assert (edited["product"]["price"]["amount"], edited["product"]["attributes"]) == (999, {})
    assert ada.put(f"{path}/stock", {"on_hand": 7}, 200, etag="*")["available"] == 7
    ada.delete(path, 412, etag=tag)
    ada.delete(path, etag=ada.etag(path))
    eve.get(path, 404)


@pytest.mark.parametrize("value", [1e300, -1e19, 2**63, "", "a\x00", None, ["a"]])
def test_an_attribute_is_a_short_text_a_number_within_64_bits_or_a_boolean(system: System, value: object) -> None:
    system.person().post("/products", LAMP | {"attributes": {"a": value}}, 422)


def test_filters_combine(system: System) -> None:
    ada = system.person("ada")
    offer(ada)
    offer(ada, title="Torch", attributes={"color": "blue", "watts": 5}, price={"amount": 500, "currency": "EUR"})
    offer(ada, title="Chair", category="garden", attributes={"color": "red"})
    assert titles(ada, category="home") == ["Torch", "Lamp"]
    assert titles(ada, **{"attr.color": "red"}) == ["Chair", "Lamp"]
    assert titles(ada, **{"attr.watts": "40", "attr.dimmable": "true", "attr.weight": "1.5"}) == ["Lamp"]
    assert titles(ada, category="home", price_max=500) == ["Torch"]
    assert titles(ada, price_min=501, price_max=1250) == ["Chair", "Lamp"]
    assert titles(ada, **{"attr.color": "green"}) == []
    assert titles(ada, **{"attr[color]": "red", "attr.watts": "40"}) == ["Lamp"]
    for wrong in ({"attr[color]": "red", "attr.color": "red"}, {"attr[]": "x"}, {"attr": "x"}, {"attr[a": "x"}):
        assert ada.get("/products", 400, **wrong)["code"] == "bad_query"


def test_facets_count_what_matches(system: System) -> None:
    ada = system.person("ada")
    offer(ada)
    offer(ada, title="Torch", attributes={"color": "red"})
    offer(ada, title="Chair", category="garden", attributes={})
    facets = ada.get("/products", facets="true", limit=1)["facets"]
    assert facets["counted"] == 3
    assert facets["category"] == [{"value": "home", "count": 2}, {"value": "garden", "count": 1}]
    assert facets["attributes"]["color"] == [{"value": "red", "count": 2}]
    assert ada.get("/products", facets="true", category="garden")["facets"]["attributes"] == {}


def test_a_cursor_belongs_to_its_filters(system: System) -> None:
    ada = system.person("ada")
    for _ in range(3):
        offer(ada)
    page = ada.get("/products", limit=1, category="home")
    assert ada.get("/products", limit=1, category="home", cursor=page["next"])["items"]
    assert ada.get("/products", 400, limit=1, cursor=page["next"])["code"] == "bad_cursor"


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"price": {"amount": -1, "currency": "EUR"}}, "/price/amount"),
        ({"price": {"amount": 2**63, "currency": "EUR"}}, "/price/amount"),
        ({"price": {"amount": 1.5, "currency": "EUR"}}, "/price/amount"),
        ({"price": {"amount": "1", "currency": "EUR"}}, "/price/amount"),
        ({"price": {"amount": True, "currency": "EUR"}}, "/price/amount"),
        ({"price": {"amount": 1, "currency": "euro"}}, "/price/currency"),
        ({"price": {"amount": 1, "currency": "ABC"}}, "/price/currency"),
        ({"price": {"amount": 1, "currency": "XXX"}}, "/price/currency"),
        ({"price": 5}, "/price"),
        ({"attributes": {"a.b": 1}}, "/attributes/a.b"),
        ({"attributes": {"$where": 1}}, "/attributes/$where"),
        ({"attributes": {"a": {"$gt": ""}}}, "/attributes/a"),
        ({"attributes": {"a": None}}, "/attributes/a"),
        ({"attributes": {str(n): 1 for n in range(51)}}, "/attributes"),
        ({"category": ""}, "/category"),
    ],
)
def test_a_wrong_field_of_a_product_is_named(system: System, changes: dict[str, object], pointer: str) -> None:
    problem = system.person().post("/products", LAMP | changes, 422)
    assert [e["pointer"] for e in problem["errors"]] == [pointer]


def test_the_largest_amount_is_kept_exactly(system: System) -> None:
    ada = system.person()
    product = offer(ada, price={"amount": 2**63 - 1, "currency": "JPY"}, attributes={"n": 2**63 - 1})
    found = ada.get(f"/products/{product}")["product"]
    assert (found["price"]["amount"], found["attributes"]["n"]) == (2**63 - 1, 2**63 - 1)
