"""The transactional role: accounts, likes and the outbox. The follow graph, money, stock, orders and idempotency keys
have ports in modules of their own.

Reads are methods of the store and see every committed write; where there are replicas, those of `MAY_LAG`
(`repositories/read_your_writes.py`) see those of their own client at least. Writes are methods of a `Transaction`. It
commits when its block ends and rolls back when the block raises; there is no commit call. Text with a NUL or a lone
surrogate and integers beyond 64 bits raise `Invalid`. Every method may raise `Unavailable` or `Contention`.
"""

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol
from uuid import UUID

from repositories.dump_port import Dump
from repositories.outbox import Outbox
from repositories.records import Account, Event, Follow, Like, Login
from repositories.relational.counters_port import CounterReads, CounterWrites
from repositories.relational.deferred_port import DeferredReads, DeferredWrites
from repositories.relational.event_log_port import EventLog, EventLogWrites
from repositories.relational.feeds_port import FanoutReads, FanoutWrites, FeedActivityReads, FeedActivityWrites
from repositories.relational.graph_port import GraphReads, GraphWrites
from repositories.relational.idempotency_port import IdempotencyWrites
from repositories.relational.levels_port import LevelReads, LevelWrites
from repositories.relational.mail_tokens_port import MailTokenReads, MailTokenWrites
from repositories.relational.money_port import Audit, BulkLedger, LedgerReads, LedgerWrites
from repositories.relational.offers_port import OfferReads, OfferWrites
from repositories.relational.orders_port import BulkOrders, OrderReads, OrderWrites, StockReads, StockWrites
from repositories.relational.payments_port import OpenPaymentWrites, PaymentReads, SandboxReads, SandboxWrites
from repositories.relational.refunds_port import RefundReads, RefundWrites
from repositories.relational.session_endings_port import EndingReads, EndingWrites
from repositories.relational.shipments_port import ShipmentReads, ShipmentWrites
from repositories.relational.webhooks_port import WebhookReads, WebhookWrites
from repositories.store import Store


class AccountReads(Protocol):
    @abstractmethod
    def get(self, ids: Collection[UUID]) -> dict[UUID, Account]:
        """The accounts that exist, in one round trip. Unknown ids are left out."""

    @abstractmethod
    def by_handle(self, handle: str) -> Account | None:
        """Handles are compared without ASCII case."""

    @abstractmethod
    def login(self, name: str) -> Login | None:
        """By e-mail when `name` has an @, else by handle; both without ASCII case."""

    @abstractmethod
    def login_of(self, account_id: UUID) -> Login | None: ...

    @abstractmethod
    def ids(self, *, after: UUID | None, limit: int) -> list[UUID]:
        """Every account that is not deleted, by ascending id, strictly above `after`."""


class LikeReads(Protocol):
    @abstractmethod
    def liked(self, account_id: UUID, post_ids: Collection[UUID]) -> set[UUID]: ...

    @abstractmethod
    def beside_follows(
        self, account_id: UUID, post_ids: Collection[UUID], others: Collection[UUID]
    ) -> tuple[set[UUID], set[UUID]]:
        """Which of the posts the account likes, and which of `others` it follows, in one round trip."""

    @abstractmethod
    def of_account(self, account_id: UUID, *, after: UUID | None, limit: int) -> list[Like]:
        """What the account likes, by ascending post id, strictly above `after`."""

    @abstractmethod
    def counts(self, post_ids: Collection[UUID]) -> dict[UUID, int]:
        """Likes of each post, in one round trip. Every one of `post_ids` has an entry."""


class AccountWrites(Protocol):
    @abstractmethod
    def begin_by_handle(self, handle: str) -> Callable[[], Account | None]:
        """As `AccountReads.by_handle`, in one round trip with what is asked for next, as `GraphWrites.begin_lock`."""

    @abstractmethod
    def add(self, account: Account, login: Login) -> None:
        """Raises `Conflict` with field `id`, `handle` or `email`."""

    @abstractmethod
    def replace(self, account: Account, *, if_version: int) -> None:
        """Store it when its version is still `if_version`. Raises `Stale`, `NotFound`, `Conflict('handle')`."""

    @abstractmethod
    def set_password(self, account_id: UUID, password_hash: str, *, if_hash: str) -> None:
        """Store it when the hash is still `if_hash`, and end the mailed tokens. Raises `Stale`, `NotFound`."""

    @abstractmethod
    def set_email(self, account_id: UUID, email: str, *, if_hash: str) -> None:
        """Store an address that is not verified when the hash is still `if_hash`, and end the mailed tokens.

        Raises `Stale`, `NotFound`, `Conflict('email')`.
        """

    @abstractmethod
    def verify(self, account_id: UUID, at: datetime) -> None:
        """The account's e-mail address was proved. Idempotent."""

    @abstractmethod
    def delete(self, account_id: UUID, *, at: datetime, if_hash: str) -> None:
        """Remove the person: login, mailed tokens, handle and profile. The id stays, for the rows of money. Final.

        No read finds the account from the commit on, and `GraphWrites.lock` raises `NotFound` for it. Its edges and
        likes stay, for `GraphWrites.forget` and `LikeWrites.forget`. Raises `Stale` for another hash, `NotFound`.
        """

    @abstractmethod
    def reserve(self, handle: str, account_id: UUID, *, until: datetime) -> None:
        """Keep a handle that this account gives up."""

    @abstractmethod
    def claim(self, handle: str, account_id: UUID, *, at: datetime) -> None:
        """After this account took a handle, in the same transaction. Raises `Conflict('handle')` when it is reserved
        for another one at `at`; ends a reservation for this one.
        """

    @abstractmethod
    def end_reservations(self, *, before: datetime, limit: int) -> int:
        """Forget reservations that ended. Returns how many."""


class LikeWrites(Protocol):
    @abstractmethod
    def like(self, like: Like) -> bool:
        """Add the like and count it. Returns whether it was new. Idempotent."""

    @abstractmethod
    def unlike(self, account_id: UUID, post_id: UUID) -> datetime | None:
        """Remove the like and uncount it. Returns when it was made, or None. Idempotent."""

    @abstractmethod
    def forget_post(self, post_id: UUID) -> None:
        """Remove every like of a deleted post. Idempotent."""

    @abstractmethod
    def forget(self, account_id: UUID, *, limit: int) -> list[Like]:
        """Remove up to `limit` likes of an account and uncount them. Fewer than that were the last."""


class BulkWrites(BulkLedger, BulkOrders, Protocol):
    """Bulk load, for seeding. Rows that exist are skipped."""

    @abstractmethod
    def accounts(self, rows: Sequence[tuple[Account, Login]], *, seen_at: datetime) -> None:
        """With readers who are awake and were last seen at `seen_at`."""

    @abstractmethod
    def follows(self, rows: Sequence[Follow]) -> None:
        """Edges with their back-fill done, counted."""

    @abstractmethod
    def likes(self, rows: Sequence[Like]) -> None: ...

    @abstractmethod
    def stock(self, rows: Mapping[UUID, int]) -> None:
        """Units on hand."""


class Transaction(Protocol):
    accounts: AccountWrites
    graph: GraphWrites
    likes: LikeWrites
    feed_activity: FeedActivityWrites
    fanouts: FanoutWrites
    counters: CounterWrites
    stock: StockWrites
    offers: OfferWrites
    orders: OrderWrites
    refunds: RefundWrites
    shipments: ShipmentWrites
    ledger: LedgerWrites
    open_payments: OpenPaymentWrites
    sandbox: SandboxWrites
    idempotency: IdempotencyWrites
    deferred: DeferredWrites
    event_log: EventLogWrites
    mail_tokens: MailTokenWrites
    endings: EndingWrites
    levels: LevelWrites
    webhooks: WebhookWrites
    bulk: BulkWrites

    @abstractmethod
    def now(self) -> datetime:
        """The database's time, not before the last key, order or ledger account that this transaction has got.

        No round trip behind any of these.
        """

    @abstractmethod
    def emit(self, *events: Event) -> None:
        """Write events into the outbox: published if and only if this transaction commits. One round trip.

        Those of one aggregate are dispatched in the order in which the transactions commit, where these have locked a
        row in common before; `[order]` of docs/distribution.toml has that of each event. Where they have not, and write
        at the same moment, either comes first. Raises `Contention` where two events got the same position.
        """


class RelationalStore(Store, Protocol):
    accounts: AccountReads
    graph: GraphReads
    likes: LikeReads
    feed_activity: FeedActivityReads
    fanouts: FanoutReads
    stock: StockReads
    offers: OfferReads
    orders: OrderReads
    refunds: RefundReads
    payments: PaymentReads
    sandbox: SandboxReads
    shipments: ShipmentReads
    ledger: LedgerReads
    audit: Audit
    counters: CounterReads
    deferred: DeferredReads
    event_log: EventLog
    mail_tokens: MailTokenReads
    endings: EndingReads
    levels: LevelReads
    webhooks: WebhookReads
    outbox: Outbox
    dump: Dump

    @abstractmethod
    def now(self) -> datetime:
        """The database's time."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[Transaction]:
        """The atomic writes of one command. Call no other store or service inside the block."""
