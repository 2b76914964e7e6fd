"""How the driver chooses nodes, and what it does when one does not answer. A statement may run twice."""

from collections.abc import Iterator
from typing import Any

from cassandra.connection import ConnectionException
from cassandra.policies import (
    ConstantSpeculativeExecutionPolicy,
    DCAwareRoundRobinPolicy,
    FallthroughRetryPolicy,
    TokenAwarePolicy,
)

# Another node is asked as well if one has not answered by then.
IMPATIENCE_SECONDS = 0.1
OTHERS = 2


class NextNode(FallthroughRetryPolicy):  # type: ignore[misc]  # the driver has no annotations
    """Asks one more node when a connection is lost; the driver would fail the statement, even if others were asked.

    The statement's own deadline bounds the retries. A refusal by a node is not retried.
    """

    def on_request_error(self, query: Any, consistency: Any, error: Exception, retry_num: int) -> tuple[Any, Any]:
        if isinstance(error, ConnectionException):
            return self.RETRY_NEXT_HOST, None
        return super().on_request_error(query, consistency, error, retry_num)  # type: ignore[no-any-return]


class Twice(TokenAwarePolicy):  # type: ignore[misc]  # the driver has no annotations
    """Each node is in the plan twice, so that one is left to retry when all were asked and a connection is lost."""

    def make_query_plan(self, working_keyspace: str | None = None, query: Any = None) -> Iterator[Any]:
        plan = list(super().make_query_plan(working_keyspace, query))
        yield from plan
        yield from plan


def nodes(datacenter: str) -> Twice:
    return Twice(DCAwareRoundRobinPolicy(datacenter))


def impatient() -> ConstantSpeculativeExecutionPolicy:
    return ConstantSpeculativeExecutionPolicy(IMPATIENCE_SECONDS, OTHERS)
