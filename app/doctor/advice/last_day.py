"""Computes what an engine has counted in the last day, from the counts that the relay has sampled.

An engine's counters run since their last reset. A problem of today hardly shows in them, and one that was fixed
continues to show.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from repositories.observer_port import Observed, Subject
from repositories.observers import SCANNED_ROWS, SCANS
from repositories.relational.levels_port import LevelSample

DAY = timedelta(days=1)
Past = Mapping[str, Sequence[LevelSample]]


def of_last_day(observed: Observed, roles: Collection[str], past: Past, now: datetime) -> Observed:
    """Add the figures of the last day to the tables. `past` has the samples of each level, ordered by time.

    A count over less than a day is taken as that of a whole day.
    """
    role = next(iter(roles))
    subjects = (_scans(one, role, past, now) if one.kind == "table" else one for one in observed.subjects)
    return replace(observed, subjects=tuple(subjects))


def _scans(table: Subject, role: str, past: Past, now: datetime) -> Subject:
    before = {one.at: one.value for one in past.get(f"{role} {SCANNED_ROWS} {table.name}", ())}
    samples = [one for one in past.get(f"{role} {SCANS} {table.name}", ()) if one.at in before]
    if not samples or "scans" not in table.figures:
        return table
    base = next((one for one in reversed(samples) if now - one.at >= DAY), samples[0])
    scans, rows = table.figures["scans"] - base.value, table.figures["scanned_rows"] - before[base.at]
    if scans < 0 or rows < 0:
        # The counters were reset since the sample, so they cover only the time after it.
        return table
    figures = {"scans_a_day": scans / max((now - base.at) / DAY, 1), "rows_of_a_scan": rows / max(scans, 1)}
    return replace(table, figures={**table.figures, **figures})
