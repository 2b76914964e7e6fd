"""Alarms: errors that only an alteration of the money tables can cause, which `quartet doctor ledger` finds."""

import logging
from typing import Literal

from repositories import meter

log = logging.getLogger(__name__)
Seen = Literal["request", "event", "sweep", "anchor"]


def raised(seen: Seen, error: Exception) -> None:
    meter.counted("alarms", 1, seen)
    log.critical("alarm: %s: %s", type(error).__name__, error)
