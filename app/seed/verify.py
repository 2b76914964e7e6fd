"""Reading everything back and comparing it with the plan.

Counts are compared exactly, so this is for data that nobody has used yet. Timelines are read as the application
reads them, whole, for a sample of the accounts.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import TypeVar
from uuid import UUID

from app.container import Container
from app.seed.plan import Plan
from app.seed.work import Batch, patiently, side_by_side
from app.services.timelines import TimelinePage, Window
from repositories.records import AttributeValue, Follow, Post, PostRef

T = TypeVar("T")
Check = Callable[[Batch], list[str]]
PAGE = 100
BATCH = 500
SAMPLE = 200


class Verifier:
    def __init__(self, container: Container, plan: Plan) -> None:
        self._container = container
        self._stores = container.stores
        self._plan = plan

    def differences(self, *, concurrency: int) -> Iterator[str]:
        """What differs, one line for each thing."""
        self._plan.prepare()
        sizes = self._plan.sizes
        for check, numbers in (
            (self._accounts, sizes.accounts),
            (self._follows, sizes.accounts),
            (self._products, sizes.products),
            (self._posts, sizes.posts),
            (self._comments, sizes.posts),
            (self._likes, sizes.posts),
        ):
            yield from self._all(check, _batches(numbers), concurrency)
        yield from self._all(self._timelines, self._sample(), concurrency)

    def _all(self, check: Check, batches: Iterable[Batch], concurrency: int) -> Iterator[str]:
        def patient(batch: Batch) -> list[str]:
            return patiently(lambda: check(batch))

        with closing(side_by_side(patient, batches, concurrency)) as results:
            for lines in results:
                yield from lines

    def _sample(self) -> list[Batch]:
        """All accounts of a small plan; else the most followed, and others evenly."""
        count = self._plan.sizes.accounts
        few = range(count) if count <= SAMPLE else [*range(SAMPLE // 4), *range(SAMPLE // 4, count, count // SAMPLE)]
        return [range(k, k + 1) for k in few]

    def _accounts(self, batch: Batch) -> list[str]:
        planned = {self._plan.account_ids[k]: self._plan.account(k) for k in batch}
        return _compare("account", planned, self._stores.relational.accounts.get(list(planned)))

    def _follows(self, batch: Batch) -> list[str]:
        plan, graph = self._plan, self._stores.relational.graph
        found = graph.counts([plan.account_ids[k] for k in batch])
        counted = {i: (count.followers, count.following) for i, count in found.items()}
        counts = {plan.account_ids[k]: (plan.follower_counts[k], len(plan.followees[k])) for k in batch}
        lines = _compare("followers and following of account", counts, counted)
        for k in batch:
            edges = {edge.account_id: edge.since for edge in self._following(plan.account_ids[k])}
            wanted = {follow.followee: follow.since for follow in plan.follows(k)}
            lines += _compare(f"follow by account {plan.account_ids[k]} of", wanted, edges)
        return lines

    def _following(self, account_id: UUID) -> Iterator[Edge]:
        page = self._stores.relational.graph.following(account_id, before=None, limit=PAGE)
        while page:
            yield from page
            page = self._stores.relational.graph.following(account_id, before=page[-1], limit=PAGE)
