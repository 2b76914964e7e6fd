"""Commands wait for stores that are not there yet."""

import time

import pytest

from app import startup
from repositories.errors import Unavailable


class StartingStore:
    """A store that answers after these errors."""

    def __init__(self, *reasons: str) -> None:
        self._reasons = list(reasons)

    def ping(self) -> None:
        if self._reasons:
            raise Unavailable("relational", self._reasons.pop(0))


def test_each_reason_to_wait_is_logged_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(startup, "BOOT_PAUSE", 0)
    startup._await(StartingStore("refused", "refused", "starting up", "starting up"), time.monotonic() + 60)  # type: ignore[arg-type]
    assert caplog.messages == [
        f"waiting for a store: relational is unavailable: {reason}" for reason in ("refused", "starting up")
    ]


def test_a_store_that_stays_away_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "BOOT_PAUSE", 0)
    with pytest.raises(Unavailable, match="first"):
        startup._await(StartingStore("first"), time.monotonic() - 1)  # type: ignore[arg-type]
