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


class NotMigrated(Exception):
    """The schema of a store is older than this version's. The message is one line with the command to run."""

    def __init__(self, steps: int) -> None:
        super().__init__(f"{steps} migration steps are pending: run `quartet migrate` first")


class LeftBehind:
    """Tells whether these stores are outdated because a role has moved. `Following` sets `says`."""

    def __init__(self) -> None:
        self.says: Callable[[], bool] = lambda: False

    def __call__(self) -> bool:
        return self.says()


@dataclass(frozen=True)
class Stores:
    """All stores. The hot data are several: sessions, and at the URL of the cache also streams, limits and views.

    Sinks are not stores: nothing waits for them, and each is used only by the relay's thread that serves it.
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

    def require_migrated(self, *stores: Store) -> None:
        """Raise `NotMigrated` unless these stores (default: all) are up to date. Creates nothing."""
        pending = sum(len(store.migrate(dry_run=True)) for store in stores or self._all())
        if pending:
            raise NotMigrated(pending)

    def close(self) -> None:
        for store in self._all():
            store.close()
        for sink in self.sinks:
            sink.close()
        if self.search:
            self.search.close()

    def _all(self) -> list[Store]:
        return [*self.by_role().values(), self.streams, self.limits, self.views]
