"""The transactional role: accounts, likes and the outbox. The follow graph, money, stock, orders and idempotency keys
have ports in modules of their own.

Reads are methods of the store and see every committed write. With replicas, the reads listed in `MAY_LAG`
(`repositories/read_your_writes.py`) see at least the writes of their own client. Writes are methods of a `Transaction`.
It commits when its block ends and rolls back when the block raises; there is no commit call. Text with a NUL or a lone
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
from repositories.records.events import Event
from repositories.records.graph import Follow, Like
from repositories.records.people import Account, Login
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
        """The account with this handle, compared without ASCII case."""

    @abstractmethod
    def login(self, name: str) -> Login | None:
        """Find the login by e-mail if `name` contains an @, else by handle; both are compared without ASCII case."""

    @abstractmethod
    def login_of(self, account_id: UUID) -> Login | None: ...

    @abstractmethod
    def ids(self, *, after: UUID | None, limit: int) -> list[UUID]:
        """The ids of accounts that are not deleted, ascending, strictly above `after`."""


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
        """The account's likes by ascending post id, strictly above `after`."""

    @abstractmethod
    def counts(self, post_ids: Collection[UUID]) -> dict[UUID, int]:
        """The number of likes of each post, in one round trip. Each of `post_ids` has an entry."""


class AccountWrites(Protocol):
    @abstractmethod
    def begin_by_handle(self, handle: str) -> Callable[[], Account | None]:
        """As `AccountReads.by_handle`, but sent with the next statement, as `GraphWrites.begin_lock` is."""

    @abstractmethod
    def add(self, account: Account, login: Login) -> None:
        """Raises `Conflict` with field `id`, `handle` or `email`."""

    @abstractmethod
    def replace(self, account: Account, *, if_version: int) -> None:
        """Store the account if its stored version is `if_version`. Raises `Stale`, `NotFound`, `Conflict('handle')`."""

    @abstractmethod
    def set_password(self, account_id: UUID, password_hash: str, *, if_hash: str) -> None:
        """Store the hash if the stored one is `if_hash`, and delete the mailed tokens. Raises `Stale`, `NotFound`."""

    @abstractmethod
    def set_email(self, account_id: UUID, email: str, *, if_hash: str) -> None:
        """Store an unverified address if the stored password hash is `if_hash`, and delete the mailed tokens.

        Raises `Stale`, `NotFound`, `Conflict('email')`.
        """

    @abstractmethod
    def verify(self, account_id: UUID, at: datetime) -> None:
        """Record that the account's e-mail address was verified at `at`. Idempotent."""

    @abstractmethod
    def delete(self, account_id: UUID, *, at: datetime, if_hash: str) -> None:
        """Remove login, mailed tokens, handle and profile. The id stays, since ledger rows refer to it. Irreversible.

        From the commit on no read finds the account, and `GraphWrites.lock` raises `NotFound` for it. Its follows,
        blocks and likes stay until `GraphWrites.forget` and `LikeWrites.forget` remove them. Raises `NotFound`, and
        `Stale` if the stored hash is not `if_hash`.
        """

    @abstractmethod
    def reserve(self, handle: str, account_id: UUID, *, until: datetime) -> None:
        """Reserve a handle that this account gives up, so that until `until` no other account can claim it."""

    @abstractmethod
    def claim(self, handle: str, account_id: UUID, *, at: datetime) -> None:
        """Check that a handle this account took in this transaction is not reserved for another account at `at`.

        Raises `Conflict('handle')` if it is. Deletes the account's own reservation and one that has ended.
        """

    @abstractmethod
    def end_reservations(self, *, before: datetime, limit: int) -> int:
        """Delete up to `limit` reservations that end at `before` or earlier. Returns how many."""


class LikeWrites(Protocol):
    @abstractmethod
    def like(self, like: Like) -> bool:
        """Add the like and count it. Returns whether it was new. Idempotent."""

    @abstractmethod
    def unlike(self, account_id: UUID, post_id: UUID) -> datetime | None:
        """Remove the like and decrement the count. Returns when the like was made, or None. Idempotent."""

    @abstractmethod
    def forget_post(self, post_id: UUID) -> None:
        """Remove every like of a deleted post. Idempotent."""

    @abstractmethod
    def forget(self, account_id: UUID, *, limit: int) -> list[Like]:
        """Remove up to `limit` likes of an account and decrement their counts. Returns the removed ones.

        Fewer than `limit` means that none are left.
        """


class BulkWrites(BulkLedger, BulkOrders, Protocol):
    """Bulk load, for seeding. Rows that exist are skipped."""

    @abstractmethod
    def accounts(self, rows: Sequence[tuple[Account, Login]], *, seen_at: datetime) -> None:
        """Insert accounts as readers that are awake and were last seen at `seen_at`."""

    @abstractmethod
    def follows(self, rows: Sequence[Follow]) -> None:
        """Insert and count follows, with their back-fill marked as done."""

    @abstractmethod
    def likes(self, rows: Sequence[Like]) -> None: ...

    @abstractmethod
    def stock(self, rows: Mapping[UUID, int]) -> None:
        """Insert the units on hand of each product."""


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
        """The database's time, not earlier than the last claim or lock by this transaction.

        Costs no round trip after it has claimed a key, or locked an order or ledger accounts.
        """

    @abstractmethod
    def emit(self, *events: Event) -> None:
        """Write events into the outbox: published if and only if this transaction commits. One round trip.

        Events of one aggregate are dispatched in commit order if their transactions lock a common row before they
        emit; `[order]` in docs/distribution.toml names that row for each event. Without one, events written at the same
        moment are dispatched in either order. Raises `Contention` when two events get the same position.
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
        """Open a transaction for the atomic writes of one command. Call no other store or service inside the block."""
