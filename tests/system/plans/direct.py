"""Calls the methods of the ports, or uses arguments, that a run of the application does not reach for certain."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID, uuid4

from app.container import Container
from app.seed.plan import Plan
from repositories.dump_port import Dump
from repositories.outbox import Outbox
from repositories.records.events import Event
from repositories.records.feeds import Fanout
from repositories.records.idempotency import Granted, RequestKey
from repositories.records.money import PROVIDER
from repositories.relational import Transaction
from repositories.relational.levels_port import LevelSample
from repositories.relational.webhooks_port import Webhook
from tests.contracts.document_store import a_post, an_event
from tests.contracts.money import held, refund
from tests.contracts.money import wallet as wallet_with

HOUR = timedelta(hours=1)


def call_remaining_methods(container: Container, plan: Plan, paid_order: UUID) -> None:
    accounts, posts = plan.account_ids, [ref.post_id for ref in plan.refs[-20:]]
    relational_reads(container, accounts, plan.product_ids[:20])
    document_reads(container, accounts, posts)
    outboxes(container)
    sinks(container)
    with container.stores.relational.transaction() as tx:
        writes(container, tx, accounts, posts)
        tx.refunds.add(refund(container.stores.relational.orders.get([paid_order])[paid_order], 0))
    expiry(container)
    returned(container, accounts[8])


def relational_reads(container: Container, accounts: Sequence[UUID], products: Sequence[UUID]) -> None:
    store, now, middle = container.stores.relational, container.kit.clock(), accounts[len(accounts) // 2]
    dumped(store.dump)
    for after in (None, middle):
        store.accounts.ids(after=after, limit=500)
        store.likes.of_account(middle, after=after, limit=100)
        store.fanouts.audience(accounts[0], after=after, limit=500)
        store.fanouts.audience(accounts[0], stage="recent", recent=now - HOUR, begun=now, after=after, limit=500)
        store.fanouts.audience(accounts[0], stage="rest", recent=now - HOUR, begun=now, after=after, limit=500)
        store.fanouts.pulled_authors(after=after, limit=20)
    store.fanouts.audience_size(middle)
    store.deferred.first(limit=20)
    store.endings.since(now, after=middle, limit=500)
    store.endings.get(middle, middle)
    store.fanouts.lag()
    store.fanouts.postponed(accounts[0], limit=20)
    store.stock.available(products)
    store.offers.get(products)
    store.offers.begun(before=now, limit=20)
    for after in (None, products[0]):
        store.offers.page(after=after, limit=20)
    store.ledger.balance_at(PROVIDER, "EUR", now)
    store.ledger.entries(PROVIDER, "EUR", until=now, limit=20)
    store.ledger.statement(PROVIDER, "EUR", since=now - HOUR, until=now, after=0, limit=20)
    store.counters.miscounted_accounts(accounts[:100])


def dumped(dump: Dump) -> None:
    assert not dump.is_empty()
    with dump.snapshot() as frozen:
        assert all(batch for kind in dump.kinds for batch in frozen.records(kind.name))


def document_reads(container: Container, accounts: Sequence[UUID], posts: Sequence[UUID]) -> None:
    """Reads of the documents, including more authors than MongoDB merges at once."""
    store, middle = container.stores.documents, posts[len(posts) // 2]
    dumped(store.dump)
    store.posts.buried(posts)
    store.comments.recount(posts, repair=False)
    for authors in (accounts[:20], accounts[:1000]):
        for span in ({}, {"before": middle}, {"after": middle}):
            store.posts.by_authors(authors, limit=20, **span)
            store.posts.in_flight(authors, limit=20, **span)
            store.posts.in_flight(None, limit=20, **span)
    for after in (None, middle):
        store.posts.ids(after=after, limit=100)
        store.comments.by_author(accounts[0], after=(after, 1) if after else None, limit=100)
        store.products.of_seller(accounts[0], after=after, limit=100)


def outboxes(container: Container) -> None:
    stores, now = container.stores, container.kit.clock()
    with stores.relational.transaction() as tx:
        for _ in range(4):
            one = uuid4()
            tx.emit(Event(one, "t", str(one), now - HOUR, b""))
    for _ in range(4):
        post = a_post()
        stores.documents.posts.add(post, an_event(str(post.id)))
    settle(container, stores.relational.outbox)
    settle(container, stores.documents.outbox)


def settle(container: Container, outbox: Outbox) -> None:
    now = container.kit.clock()
    released, postponed, dead, dispatched = outbox.claim(now=now, lease_until=now + HOUR, limit=4)
    outbox.release([released])
    outbox.postpone(postponed, due=now + 9 * HOUR, attempts=1)
    outbox.dead_letter(dead, reason="broken", attempts=1, now=now)
    outbox.acknowledge([dispatched])
    outbox.dead_letters(limit=20)
    outbox.backlog()
    outbox.replay([dead.event.id], now=now)
    outbox.replay(None, now=now)


def sinks(container: Container) -> None:
    store, log = container.stores.relational, container.stores.relational.event_log
    with store.transaction() as tx:
        tx.event_log.append([an_event(str(n)) for n in range(4)])
    log.register("plans")
    served = log.claim("plans", lease=HOUR)
    assert served
    position = log.after(served.position, limit=500)[-1].position
    log.ready(served.position, limit=500, made_by="plans")
    served = log.advance(served, position, lease=HOUR)
    assert served
    with store.transaction() as tx:
        tx.event_log.dead_letter(served, position, "refused")
        tx.event_log.settle("plans", [position])
        tx.event_log.sweep(kept=9 * HOUR, limit=1000)
    log.dead_letters("sink7", after=position - 10, limit=20)
    log.states()
    log.release(served, wait=HOUR)
    with store.transaction() as tx:
        tx.event_log.rewind("plans", since=store.now())
        tx.event_log.retry("sink7")
        tx.event_log.switch("plans", on=False)
        tx.event_log.forget("plans")
    made = Webhook(uuid4(), "https://example.com", (), "whsec_", store.now())
    with store.transaction() as tx:
        tx.webhooks.add(made)
        tx.webhooks.rotate(made.id, "whsec_1", former_until=store.now())
        tx.webhooks.touch(made.id)
        tx.webhooks.remove(made.id)
    store.webhooks.all()
    with store.transaction() as tx:
        tx.levels.note([LevelSample("plans", store.now(), 1)], forget=store.now() - 1000 * HOUR)
    store.levels.since(store.now() - HOUR)


def writes(container: Container, tx: Transaction, accounts: Sequence[UUID], posts: Sequence[UUID]) -> None:
    one, now = accounts[9], container.kit.clock()
    login = container.stores.relational.accounts.login_of(one)
    assert login
    tx.accounts.end_reservations(before=container.kit.clock(), limit=20)
    tx.accounts.set_password(one, "other", if_hash=login.password_hash)
    tx.feed_activity.seen(one, now)
    tx.feed_activity.wake(one, now)
    tx.feed_activity.raise_low_watermark(one, posts[0])
    tx.feed_activity.revise(one)
    tx.fanouts.lose()
    tx.fanouts.pull(one, at=now, reason="shed")
    tx.fanouts.postpone(Fanout(posts[0], one, now, now, "running", "all", None, 9, 0, ((1, 1),), None, "t"))
    tx.fanouts.begin_return(one, now)
    tx.fanouts.end_pull(one, changed_at=now)
    tx.counters.recount_account(one)
    tx.counters.recount_post(posts[0])
    key = RequestKey(one, "POST /orders", "k")
    granted = tx.idempotency.claim(key, b"", HOUR)
    assert isinstance(granted, Granted)
    tx.idempotency.end_lease(key, granted)
    tx.idempotency.abandon(key, granted)
    tx.deferred.put({b"drop:k": b""}, at=now)
    tx.deferred.done([uuid4()])
    tx.offers.forget(uuid4())


def expiry(container: Container) -> None:
    store, now = container.stores.relational, container.kit.clock()
    hold = held(wallet_with(store, 5), uuid4(), 1, created_at=now, expires_at=now)
    with store.transaction() as tx:
        tx.ledger.hold(hold)
    with store.transaction() as tx:
        tx.ledger.expire(uuid4(), hold.id, at=now)


def returned(container: Container, author: UUID) -> None:
    with container.stores.relational.transaction() as tx:
        tx.fanouts.pull(author, at=container.kit.clock(), reason="shed")
    assert container.feeds.pulling.begin_return(author)
