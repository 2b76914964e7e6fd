"""Random numbers by name: a draw depends on its name only, not on the draws before it."""

from collections.abc import Sequence
from hashlib import blake2b
from itertools import accumulate, cycle
from random import Random
from typing import Any


class Draws:
    """The randomness of one data set. The same world and name give the same numbers on every machine."""

    def __init__(self, world: str) -> None:
        self._world = world

    def number(self, *name: str | int) -> int:
        """A number of 64 bits."""
        text = ":".join(map(str, (self._world, *name)))
        return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())

    def stream(self, *name: str | int) -> Random:
        """A reproducible generator. Not for secrets."""
        return _Numbered(self.number(*name))


class _Numbered(Random):
    """Gives the numbers of `Random` for an integer seed, but skips its slower handling of other kinds of seeds."""

    def seed(self, a: Any = None, version: int = 2) -> None:  # noqa: ARG002 - versions differ in seeds that are text
        super(Random, self).seed(a)


def zipf(count: int, exponent: float) -> list[float]:
    """Zipf weights of `count` ranks; rank 0 has the largest."""
    return [(rank + 1) ** -exponent for rank in range(count)]


def cumulated(weights: Sequence[float]) -> list[float]:
    return list(accumulate(weights))


def shares(total: int, weights: Sequence[float], *, most: int) -> list[int]:
    """Integers in proportion to `weights` that sum to `total`, none above `most`."""
    if total > most * len(weights):
        raise ValueError(f"{total} do not fit into {len(weights)} times {most}")
    unit = total / sum(weights) if total else 0
    counts = [min(most, int(weight * unit)) for weight in weights]
    left = total - sum(counts)
    for place in cycle(sorted(range(len(weights)), key=lambda i: (-weights[i], i))) if left else ():
        if counts[place] < most:
            counts[place] += 1
            left -= 1
        if not left:
            break
    return counts


def distinct(draw: Random, wanted: int, weights: Sequence[float], *, start: Sequence[int], never: int) -> list[int]:
    """`wanted` different indexes drawn by weight, including `start`, excluding `never`."""
    chosen = dict.fromkeys(start[:wanted])
    for _ in range(8):
        if len(chosen) >= wanted:
            break
        tries = draw.choices(range(len(weights)), cum_weights=weights, k=2 * (wanted - len(chosen)))
        chosen |= dict.fromkeys(i for i in tries if i != never)
    if len(chosen) < wanted:
        rest = [i for i in range(len(weights)) if i not in chosen and i != never]
        chosen |= dict.fromkeys(draw.sample(rest, wanted - len(chosen)))
    return list(chosen)[:wanted]
