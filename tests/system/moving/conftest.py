"""Moves within a test do not wait for other processes, since there are none. Moves by a separate command do."""

import pytest

from app.moving import mover


@pytest.fixture(autouse=True)
def _no_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mover, "NOTICED_SECONDS", 0.0)
