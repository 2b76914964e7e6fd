"""Exemplars (OpenMetrics): for each bucket of a histogram, the last recorded trace with a value in it.

prometheus-client does not support exemplars if processes share their metrics through files. So each process writes its
own into a file beside those every few seconds, and a scrape reads all of them.
"""

import os
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from math import inf
from pathlib import Path

import msgspec
from prometheus_client.core import Metric, Sample
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

PATTERN = "exemplars_{}.json"


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """An exemplar. `labels` are those of the bucket, ordered by name; `at` is in seconds since the Unix epoch."""

    name: str
    labels: tuple[tuple[str, str], ...]
    trace_id: str
    value: float
    at: float


_decoder = msgspec.json.Decoder(list[Kept])
Place = tuple[str, tuple[tuple[str, str], ...]]


class Exemplars:
    """The exemplars of this process: the newest one of each bucket, whichever thread noted it."""

    def __init__(self) -> None:
        self._kept: dict[Place, Kept] = {}
        self._is_new = False

    def note(self, name: str, labels: Mapping[str, str], bounds: Sequence[float], value: float, trace_id: str) -> None:
        at = bisect_left(bounds, value)
        bound = floatToGoString(bounds[at] if at < len(bounds) else inf)  # type: ignore[no-untyped-call]  # it has no annotation
        place = tuple(sorted({**labels, "le": bound}.items()))
        self._kept[name, place] = Kept(name, place, trace_id, value, time.time())
        self._is_new = True

    def write(self, directory: Path) -> None:
        """Write the exemplars, for scrapes that another process answers. A reader sees the old or the new file."""
        if self._is_new:
            self._is_new = False
            file = directory / PATTERN.format(os.getpid())
            new = file.with_suffix(".new")
            new.write_bytes(msgspec.json.encode(list(self._kept.copy().values())))
            new.replace(file)

    def of_all(self, directory: Path | None) -> dict[Place, Kept]:
        """The newest exemplar of each bucket over all processes of this server."""
        found = self._kept.copy()
        for file in directory.glob(PATTERN.format("*")) if directory else ():
            for one in _decoder.decode(file.read_bytes()):
                place = (one.name, one.labels)
                if place not in found or found[place].at < one.at:
                    found[place] = one
        return found


def marked(inner: Collector, kept: Mapping[Place, Kept]) -> Iterator[Metric]:
    """The families that `inner` collects, with exemplars in the buckets of histograms."""
    for family in inner.collect():
        if family.type == "histogram" and kept:
            family.samples = [_marked(family.name, sample, kept) for sample in family.samples]
        yield family


def _marked(name: str, sample: Sample, kept: Mapping[Place, Kept]) -> Sample:
    one = kept.get((name, tuple(sorted(sample.labels.items()))))
    return sample if one is None else sample._replace(exemplar=Exemplar({"trace_id": one.trace_id}, one.value, one.at))
