"""Authors whose posts are pulled come back to being pushed when that pays again.

Hysteresis: pulling begins above the threshold (or for want of budget, both in `fanouts`), and ends below half of
it, not before some time has passed, and only while the budget has room to make up for what was left.
"""

from datetime import datetime, timedelta
from uuid import UUID

from app.events import AuthorReturned
from app.services.commands.kit import Kit
from app.services.feeds.delivery_budget import DeliveryBudget
from app.services.feeds.fanouts import Fanouts
from repositories.feed_records import PulledAuthor
from repositories.relational import Relational

BELOW = 0.5
AT_ONCE = 100


class Pulling:
    def __init__(
        self, relational: Relational, fanouts: Fanouts, budget: DeliveryBudget, kit: Kit, at_least: timedelta
    ) -> None:
        self._relational = relational
        self._fanouts = fanouts
        self._budget = budget
        self._clock = kit.clock
        self._pack = kit.emitter
        self._at_least = at_least
        self._after: UUID | None = None

    def return_some(self, now: datetime) -> int:
        """Look at the next authors, round and round; returns how many go back to being pushed."""
        if not self._budget.idle():
            return 0
        some = self._relational.fanouts.pulled_authors(after=self._after, limit=AT_ONCE)
        self._after = some[-1].author_id if len(some) == AT_ONCE else None
        return sum(self.give_back(one.author_id) for one in some if self._may_return(one, now))

    def give_back(self, author: UUID) -> bool:
        """Push this author's posts again; what was left is made up for by the event. False when it was not pulled."""
        now = self._clock()
        with self._relational.transaction() as tx:
            returning = tx.fanouts.returning(author, now)
            if returning:
                tx.emit(self._pack(AuthorReturned(author), at=now))
        return returning

    def _may_return(self, pulled: PulledAuthor, now: datetime) -> bool:
        if pulled.state != "pulled" or now - pulled.changed_at < self._at_least:
            return False
        followers = self._relational.graph.counts([pulled.author_id])[pulled.author_id].followers
        return not self._fanouts.is_above(pulled.author_id, followers, BELOW)
