"""Stock as its seller reads and changes it, during concurrent sales."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.apps import PROVED_ON_POSTGRES, Person
from tests.http.world import LAMP
from tests.shop import Shop

pytestmark = pytest.mark.parametrize("settings", PROVED_ON_POSTGRES, indirect=True)


def path(shop: Shop) -> str:
    return f"/products/{shop.lamp}/stock"


def level(shop: Shop) -> list[int]:
    found = shop.seller.get(path(shop))
    assert found["available"] == found["on_hand"] - found["reserved"]
    return [found[name] for name in ("on_hand", "reserved", "sold")]


def test_the_seller_sees_reserved_and_sold_units(shop: Shop) -> None:
    assert level(shop) == [10, 0, 0]
    shop.placed()
    assert level(shop) == [10, 2, 0]
    shop.paid()
    assert level(shop) == [6, 0, 4]


def test_a_stale_tag_cannot_restore_sold_units(shop: Shop) -> None:
    before = shop.seller.etag(path(shop))
    shop.paid()
    left = level(shop)
    for tag in (before, '"1-0000000000000000"', shop.seller.etag(f"/products/{shop.lamp}"), '"2-0123456789abcdef"'):
        shop.seller.put(path(shop), {"on_hand": 10}, 412, etag=tag)
        shop.seller.patch(path(shop), {"delta": 2}, 412, etag=tag)
    assert level(shop) == left
    again = shop.seller.etag(path(shop))
    weakened = f'W/{again[:-1]}-gzip"'
    assert shop.seller.put(path(shop), {"on_hand": 9}, 200, etag=weakened)["on_hand"] == 9
    shop.seller.put(path(shop), {"on_hand": 9}, 412, etag=again)


def test_a_reservation_changes_the_entity_tag(shop: Shop) -> None:
    before = shop.seller.etag(path(shop))
    shop.placed()
    shop.seller.put(path(shop), {"on_hand": 10}, 412, etag=before)


def test_units_are_added_and_taken_away(shop: Shop) -> None:
    tag = shop.seller.etag(path(shop))
    answer = shop.seller.send("PATCH", path(shop), json={"delta": -3}, headers={"If-Match": tag})
    assert (answer.status_code, level(shop)) == (200, [7, 0, 0])
    assert answer.headers["ETag"] == shop.seller.etag(path(shop))
    shop.seller.patch(path(shop), {"delta": -3}, 412, etag=tag)
    shop.placed()
    for delta in (-6, -7, -8, -(2**63) + 1):
        assert shop.seller.patch(path(shop), {"delta": delta}, 409, etag="*")["code"] == "stock_reserved"
    assert shop.seller.patch(path(shop), {"delta": 2**63 - 1}, 409, etag="*")["code"] == "too_much"
    assert level(shop) == [7, 2, 0]
    shop.seller.patch(path(shop), {"delta": 1}, 428)


def test_concurrent_additions_are_all_counted(shop: Shop) -> None:
    def add(_: int) -> int:
        client = Person(shop.system.app.test_client(), shop.seller.token, shop.seller.account)
        response = client.send("PATCH", path(shop), json={"delta": 1}, headers={"If-Match": "*"})
        assert response.status_code in {200, 503}, response.data
        return int(response.status_code == 200)

    with ThreadPoolExecutor(4) as pool:
        added = sum(pool.map(add, range(20)))
    assert level(shop) == [10 + added, 0, 0]


def test_only_the_seller_reads_and_changes_it(shop: Shop) -> None:
    shop.buyer.get(path(shop), 403)
    shop.buyer.put(path(shop), {"on_hand": 1}, 403, etag="*")
    shop.buyer.patch(path(shop), {"delta": 1}, 403, etag="*")
    fresh = shop.seller.post("/products", LAMP)["product"]["id"]
    assert shop.seller.get(f"/products/{fresh}/stock")["on_hand"] == 0
    tag = shop.seller.etag(f"/products/{fresh}/stock")
    assert shop.seller.put(f"/products/{fresh}/stock", {"on_hand": 3}, 200, etag=tag)["version"] == 1
    shop.seller.put(f"/products/{fresh}/stock", {"on_hand": 3}, 412, etag=tag)
    shop.seller.delete(f"/products/{fresh}", etag="*")
    shop.seller.get(f"/products/{fresh}/stock", 404)
