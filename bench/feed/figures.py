"""Durations of many short measurements, taken in turns, and what is read from them."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter

Work = Callable[[], object]


class Figures:
    """Milliseconds by name, one list for each round."""

    def __init__(self) -> None:
        self._rounds: dict[str, list[list[float]]] = defaultdict(list)

    def measure(self, works: Mapping[str, Work], rounds: int, each: int) -> None:
        """Every round does every work `each` times, and begins with another one."""
        names = list(works)
        for number in range(rounds):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                self._rounds[name].append([_timed(works[name]) for _ in range(each)])

    def percentile(self, name: str, share: float) -> float:
        """Over all rounds."""
        every = sorted(one for some in self._rounds[name] for one in some)
        return every[min(len(every) - 1, int(len(every) * share))]

    def least(self, name: str) -> float:
        return self.percentile(name, 0.0)

    def ratio(self, name: str, other: str) -> float:
        """The median of the rounds' ratios: a round's measurements have had about the same machine."""
        pairs = zip(self._rounds[name], self._rounds[other], strict=True)
        return statistics.median(statistics.median(a) / statistics.median(b) for a, b in pairs)

    def __contains__(self, name: str) -> bool:
        return name in self._rounds


def _timed(work: Work) -> float:
    began = perf_counter()
    work()
    return (perf_counter() - began) * 1000


def spread(values: Sequence[float]) -> str:
    """Median, least and greatest."""
    return f"{statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"
