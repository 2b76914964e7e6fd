"""The contract of the records of webhooks, on both relational adapters."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from repositories.errors import NotFound
from repositories.relational import RelationalStore
from repositories.relational.webhooks_port import Webhook
from tests.contracts.document_store import an_event
from tests.contracts.relational_store import NOW

DAY = timedelta(days=1)


def added(store: RelationalStore, *types: str) -> Webhook:
    made = Webhook(uuid4(), "https://example.com/\u00e9", types, "whsec_1", NOW)
    with store.transaction() as tx:
        tx.webhooks.add(made)
    return made


def found(store: RelationalStore, webhook_id: UUID) -> Webhook | None:
    return next((one for one in store.webhooks.all() if one.id == webhook_id), None)


def test_an_added_webhook_is_found_unchanged(store: RelationalStore) -> None:
    all_, some = added(store), added(store, "quartet.post.edited.v1", "quartet.post.deleted.v1")
    assert found(store, all_.id) == all_
    assert found(store, some.id) == some
    ids = [one.id for one in store.webhooks.all()]
    assert ids == sorted(ids)


def test_a_webhook_begins_with_the_events_logged_from_now_on(new_store: Callable[[], RelationalStore]) -> None:
    store = new_store()
    first = added(store)
    with store.transaction() as tx:
        tx.event_log.append([an_event("a"), an_event("a")])
    second = added(store)
    cursors = [store.event_log.claim(one.sink, lease=DAY) for one in (first, second)]
    assert [one and one.position for one in cursors] == [0, store.event_log.after(0, limit=9)[-1].position]


def test_a_secret_is_replaced(store: RelationalStore) -> None:
    made = added(store)
    with store.transaction() as tx:
        tx.webhooks.rotate(made.id, "whsec_2", former_until=NOW + DAY)
    changed = found(store, made.id)
    assert changed
    assert changed.revision > made.revision
    assert changed.secrets(NOW) == ("whsec_2", "whsec_1")
    assert changed.secrets(NOW + DAY) == ("whsec_2",)
    with store.transaction() as tx:
        tx.webhooks.touch(made.id)
    again = found(store, made.id)
    assert again
    assert again.revision > changed.revision


def test_a_removed_webhook_leaves_nothing(store: RelationalStore) -> None:
    made, other = added(store), added(store)
    cursor = store.event_log.claim(made.sink, lease=DAY)
    assert cursor
    with store.transaction() as tx:
        tx.event_log.append([an_event("a")])
    position = store.event_log.after(cursor.position, limit=1)[0].position
    with store.transaction() as tx:
        assert tx.event_log.dead_letter(cursor, position, "away")
    with store.transaction() as tx:
        tx.webhooks.remove(made.id)
    assert found(store, made.id) is None
    assert found(store, other.id) == other
    assert store.event_log.dead_letters(made.sink, after=0, limit=9) == []
    assert made.sink not in {state.sink for state in store.event_log.states()}
    for change in ("touch", "remove"):
        with pytest.raises(NotFound), store.transaction() as tx:
            getattr(tx.webhooks, change)(made.id)
    with pytest.raises(NotFound), store.transaction() as tx:
        tx.webhooks.rotate(made.id, "whsec_3", former_until=NOW)
