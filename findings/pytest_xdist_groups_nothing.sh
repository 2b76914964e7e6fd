#!/usr/bin/env bash
# Expected: `pytest -n 2 --dist loadgroup` runs tests with one xdist_group mark in one process, as its documentation
# says.
# Observed: Under pytest 9.2 it does not group them, silently. Module fixtures are set up once in each process instead
# of once. pytest-xdist passes the group in the test's id; pytest 9.2 makes that id from something else.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/test_groups.py" <<'PYTHON'
import os

import pytest

pytestmark = pytest.mark.xdist_group("together")


@pytest.mark.parametrize("number", range(40))
def test_somewhere(number):
    print(f"process={os.environ['PYTEST_XDIST_WORKER']}")
PYTHON
python3 -m venv "$folder/venv"
processes() {
  "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "pytest==$1" pytest-xdist==3.8.0
  (cd "$folder" && venv/bin/python -m pytest -n 2 --dist loadgroup -q -rP -p no:cacheprovider test_groups.py) |
    grep -o "^process=gw[0-9]*" | sort -u | wc -l
}
before=$(processes 9.1.1)
after=$(processes 9.2.0)
echo "pytest-xdist 3.8.0 with pytest 9.1.1: 40 tests of one group ran in $before process(es)"
echo "pytest-xdist 3.8.0 with pytest 9.2.0: 40 tests of one group ran in $after process(es)"
[ "$before $after" = "1 2" ] || { echo "the behaviour has changed" >&2; exit 1; }
