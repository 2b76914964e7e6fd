"""An embedded system for each test. The relay is run by the test that wants it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from config import Settings
from tests.apps import System, embedded, running


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with running(Settings(**embedded(tmp_path))) as found:
        yield found
