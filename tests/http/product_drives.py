"""The functions of `drives.py` for the routes of products."""

from typing import Any

from tests.http.driving import FURTHER, Drive, drive, simple
from tests.http.world import LAMP, Call, World

simple("POST", "/products", lambda w, _: Call(w.person(), "/products", LAMP, keyed=True))


@drive("GET", "/products")
def _products(world: World, n: int) -> Call:
    for seller in world.people(n):
        world.lamp(seller)
    return Call(world.person(), "/products", query={"limit": n, "facets": "true", "attr.colour": "red"})


def _first_products(world: World, n: int) -> Call:
    seller = world.person()
    for _ in range(n):
        world.lamp(seller)
    return Call(world.person(), "/products", query={"limit": n})


FURTHER.append((("GET", "/products"), _first_products))


def _product(body: Any = None, *, after: str = "", etag: str | None = None) -> Drive:
    def prepare(world: World, _: int) -> Call:
        seller = world.person()
        return Call(seller, f"/products/{world.lamp(seller)}{after}", body, etag=etag)

    return prepare


simple("GET", "/products/<uuid:product_id>", _product())
simple("PATCH", "/products/<uuid:product_id>", _product({"title": "Lantern"}, etag="*"))
simple("DELETE", "/products/<uuid:product_id>", _product(etag="*"))
for _verb, _change in (("GET", None), ("PUT", {"on_hand": 7}), ("PATCH", {"delta": 7})):
    simple(_verb, "/products/<uuid:product_id>/stock", _product(_change, after="/stock", etag="*"))
