"""Audits each order, or each transfer, once, although several accounts and chains lead to it."""

from collections.abc import Callable, Collection, Iterator
from uuid import UUID

from repositories.records.money import Finding
from repositories.relational.statement_runner import Runner

# Memory is bounded: what was forgotten is audited once more, which is harmless.
MOST_REMEMBERED = 50_000
SomeAudit = Callable[[Runner, Collection[UUID]], Iterator[Finding]]


class Once:
    def __init__(self, audit: SomeAudit, runner: Runner) -> None:
        self._audit = audit
        self._runner = runner
        self._audited: set[UUID] = set()

    def of(self, ids: Collection[UUID]) -> Iterator[Finding]:
        """The findings about those of `ids` that were not audited before."""
        wanted = set(ids) - self._audited
        if len(self._audited) + len(wanted) > MOST_REMEMBERED:
            self._audited.clear()
        self._audited |= wanted
        return self._audit(self._runner, wanted) if wanted else iter(())
