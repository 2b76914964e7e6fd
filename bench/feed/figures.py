"""Durations of many short, alternating measurements, and statistics of them."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter

Work = Callable[[], object]


class Figures:
    """Durations in milliseconds by name, one list per round."""

    def __init__(self) -> None:
        self._rounds: dict[str, list[list[float]]] = defaultdict(list)

    def measure(self, works: Mapping[str, Work], rounds: int, each: int) -> None:
        """Measure every work `each` times per round. Each round starts with a different work."""
        names = list(works)
        for number in range(rounds):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                self._rounds[name].append([_timed(works[name]) for _ in range(each)])

    def percentile(self, name: str, share: float) -> float:
        """The duration at this share (0 to 1) of all rounds."""
        every = sorted(one for some in self._rounds[name] for one in some)
        return every[min(len(every) - 1, int(len(every) * share))]

    def least(self, name: str) -> float:
        return self.percentile(name, 0.0)

    def ratio(self, name: str, other: str) -> float:
        """The median of the ratios per round, since the load on the machine is about the same within a round."""
        pairs = zip(self._rounds[name], self._rounds[other], strict=True)
        return statistics.median(statistics.median(a) / statistics.median(b) for a, b in pairs)

    def __contains__(self, name: str) -> bool:
        return name in self._rounds


def _timed(work: Work) -> float:
    began = perf_counter()
    work()
    return (perf_counter() - began) * 1000


def spread(values: Sequence[float]) -> str:
    """The median, minimum and maximum as text."""
    return f"{statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"
