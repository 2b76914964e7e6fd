"""What something was made of."""

import math
from collections.abc import Mapping


class Used:
    """The parts that a page is made of, each by its key and the stamp of the very value that was read.

    `stamps` is what `Fill.parts` wants, None where a part cannot be vouched for: it is not stored, was read twice
    and had changed, or is due. `left` is how many seconds there are until the first of them is due.
    """

    def __init__(self) -> None:
        self._stamps: dict[str, bytes] = {}
        self._sound = True
        self.left = math.inf

    @property
    def stamps(self) -> Mapping[str, bytes] | None:
        return self._stamps if self._sound and self.left > 0 else None

    def note(self, key: str, stamp: bytes | None, left: float) -> None:
        if stamp is None or self._stamps.setdefault(key, stamp) != stamp:
            self._sound = False
        self.left = min(self.left, left)
