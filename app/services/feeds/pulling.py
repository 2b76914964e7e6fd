"""Returns pulled authors to being pushed.

With hysteresis: an author becomes pulled above the threshold or when the delivery budget is spent (see `fanouts`), and
returns below half of the threshold, after `at_least`, and only while the delivery budget has room for postponed
fan-outs.
"""

from datetime import datetime, timedelta
from uuid import UUID

from app.events import AuthorReturned
from app.services.commands.kit import Kit
from app.services.feeds.delivery_budget import DeliveryBudget
from app.services.feeds.fanouts import Fanouts
from repositories.records.feeds import PulledAuthor
from repositories.relational import RelationalStore

# Share of the threshold below which an author returns.
RETURN_BELOW = 0.5
BATCH = 100


class Pulling:
    def __init__(
        self, relational: RelationalStore, fanouts: Fanouts, budget: DeliveryBudget, kit: Kit, at_least: timedelta
    ) -> None:
        self._relational = relational
        self._fanouts = fanouts
        self._budget = budget
        self._clock = kit.clock
        self._pack = kit.emitter
        self._at_least = at_least
        self._after: UUID | None = None

    def return_batch(self, now: datetime) -> int:
        """Check the next batch of pulled authors, cycling through all of them. Returns how many began to return."""
        if not self._budget.idle():
            return 0
        some = self._relational.fanouts.pulled_authors(after=self._after, limit=BATCH)
        self._after = some[-1].author_id if len(some) == BATCH else None
        return sum(self.begin_return(one.author_id) for one in some if self._may_return(one, now))

    def begin_return(self, author: UUID) -> bool:
        """Push this author's new posts again; the event completes postponed fan-outs. False if not pulled."""
        now = self._clock()
        with self._relational.transaction() as tx:
            returning = tx.fanouts.begin_return(author, now)
            if returning:
                tx.emit(self._pack(AuthorReturned(author), at=now))
        return returning

    def _may_return(self, pulled: PulledAuthor, now: datetime) -> bool:
        if pulled.state != "pulled" or now - pulled.changed_at < self._at_least:
            return False
        followers = self._relational.graph.counts([pulled.author_id])[pulled.author_id].followers
        return not self._fanouts.is_above(pulled.author_id, followers, RETURN_BELOW)
