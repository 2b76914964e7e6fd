"""The stores of all roles. `container.open_stores` opens them."""

from collections.abc import Callable
from dataclasses import dataclass, field

from repositories.documents import DocumentStore
from repositories.feeds import FeedStore
from repositories.hot import Cache, Limits, SessionStore, Streams, ViewCounts
from repositories.outbox import Outbox
from repositories.relational import RelationalStore
from repositories.search import SearchIndex
from repositories.sinks import Sink
from repositories.store import Store


class LeftBehind:
    """Whether stores are those of before a move, as whoever follows the moves `says`."""

    def __init__(self) -> None:
        self.says: Callable[[], bool] = lambda: False

    def __call__(self) -> bool:
        return self.says()


@dataclass(frozen=True)
class Stores:
    """The hot role is several stores: sessions, and with the cache streams, limits and views.

    Sinks are no stores: nothing waits for them, and the thread of the relay that serves one is the only one to use it.
    """

    relational: RelationalStore
    documents: DocumentStore
    feeds: FeedStore
    sessions: SessionStore
    cache: Cache
    streams: Streams
    limits: Limits
    views: ViewCounts
    sinks: tuple[Sink, ...] = ()
    search: SearchIndex | None = None
    outdated: LeftBehind = field(default_factory=LeftBehind)

    def by_role(self) -> dict[str, Store]:
        return {
            "relational": self.relational,
            "documents": self.documents,
            "feeds": self.feeds,
            "sessions": self.sessions,
            "cache": self.cache,
        }

    def outboxes(self) -> dict[str, Outbox]:
        return {"relational": self.relational.outbox, "documents": self.documents.outbox}

    @property
    def replicated(self) -> bool:
        """Whether some reads go to replicas."""
        return self.relational.replicated or self.documents.replicated

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        """Bring every store up to date. Returns one line per step."""
        return [line for store in self._all() for line in store.migrate(dry_run=dry_run)]

    def close(self) -> None:
        for store in self._all():
            store.close()
        for sink in self.sinks:
            sink.close()
        if self.search:
            self.search.close()

    def _all(self) -> list[Store]:
        return [*self.by_role().values(), self.streams, self.limits, self.views]
