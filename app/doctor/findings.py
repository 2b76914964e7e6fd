"""What the doctor found, counted by kind. Of the findings themselves only the first are printed."""

from collections import Counter
from collections.abc import Callable, Iterable

# Lines printed for one run.
PRINTED = 200
# Allowed by the port: a clean-up that is late, hidden from readers. It is no drift.
LEFTOVER = "leftover entries"


class Report:
    """`tell` gets a line per finding. Without `repair` nothing is repaired."""

    def __init__(self, tell: Callable[[str], None], *, repair: bool) -> None:
        self._tell = tell
        self._repair = repair
        self._printed = 0
        self.found: Counter[str] = Counter()
        self.unrepaired: Counter[str] = Counter()
        self.accounts = 0
        self.posts = 0

    @property
    def drift(self) -> int:
        """How many findings there were that should not have been, repaired or not."""
        return self.found.total() - self.found[LEFTOVER]

    def add(self, kind: str, lines: Iterable[str]) -> None:
        for line in lines:
            self.found[kind] += 1
            self._printed += 1
            if self._printed <= PRINTED:
                self._tell(line)
            elif self._printed == PRINTED + 1:
                self._tell("more findings are only counted")

    def summary(self, seconds: float) -> list[str]:
        """One line per kind, and one for all; `seconds` is how long it took."""
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
