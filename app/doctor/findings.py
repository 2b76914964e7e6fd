"""Counts the doctor's findings by kind, and prints the first of them."""

from collections import Counter
from collections.abc import Callable, Iterable

# The most lines printed in one run.
PRINTED = 200
# Entries not cleaned up yet and never shown to readers. The port allows them, so they are not drift.
LEFTOVER = "leftover entries"


class Report:
    """`write_line` gets a line per finding. Without `repair` nothing is repaired."""

    def __init__(self, write_line: Callable[[str], None], *, repair: bool) -> None:
        self._write_line = write_line
        self._repair = repair
        self._printed = 0
        self.found: Counter[str] = Counter()
        self.unrepaired: Counter[str] = Counter()
        self.accounts = 0
        self.posts = 0

    @property
    def drift(self) -> int:
        """The number of findings that are drift, repaired or not."""
        return self.found.total() - self.found[LEFTOVER]

    def add(self, kind: str, lines: Iterable[str]) -> None:
        for line in lines:
            self.found[kind] += 1
            self._printed += 1
            if self._printed <= PRINTED:
                self._write_line(line)
            elif self._printed == PRINTED + 1:
                self._write_line("more findings are only counted")

    def summary(self, seconds: float) -> list[str]:
        """One line per kind of finding, and a total. `seconds` is the duration of the run."""
        lines = [
            f"{kind}: {number} found, {self.unrepaired[kind] if self._repair else number} not repaired"
            for kind, number in sorted(self.found.items())
        ]
        rate = self.accounts / seconds if seconds else 0
        verdict = f"{self.drift} findings" if self.drift else "no drift"
        lines.append(
            f"{self.accounts} accounts and {self.posts} posts in {seconds:.1f} s ({rate:.0f} accounts/s): {verdict}"
        )
        return lines
