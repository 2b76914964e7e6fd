"""Moves that do not wait for processes that nobody has started. Those that are commands of their own do."""

import pytest

from app.moving import mover


@pytest.fixture(autouse=True)
def _nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mover, "NOTICED_SECONDS", 0.0)
