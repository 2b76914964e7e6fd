#!/usr/bin/env bash
# Expected: A `schema.load(...)` of marshmallow-sqlalchemy that raises ValidationError has changed nothing, and
# `schema.validate(...)` changes nothing in any case.
# Observed: With `load_instance` in a nested schema the nested row has been changed by then, in the session: nested schemas
# are loaded, with their instances, before the fields next to them are checked. So an import that skips the records that are
# refused, and commits the others, stores parts of those that it skipped. `validate` changes the row too, for valid data as
# well, although it does not do so for the outer row; the next query flushes the change, and the next commit stores it. Only
# a rollback, or `session.expire_all()`, after each refused record removes it. New rows are not affected.
source "$(dirname "$0")/start.sh"
install marshmallow-sqlalchemy==1.6.0 marshmallow==4.4.0 sqlalchemy==2.1.9
python - <<'PYTHON'
from importlib.metadata import version

import sqlalchemy as sa
from marshmallow import ValidationError, fields, validate
from marshmallow_sqlalchemy import SQLAlchemyAutoSchema
from marshmallow_sqlalchemy.fields import Nested
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

print("marshmallow-sqlalchemy", version("marshmallow-sqlalchemy"), "- marshmallow", version("marshmallow"), "- SQLAlchemy", sa.__version__)


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    city: Mapped[str]


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    quantity: Mapped[int]
    customer_id: Mapped[int] = mapped_column(sa.ForeignKey("customers.id"))
    customer: Mapped[Customer] = relationship()


class CustomerSchema(SQLAlchemyAutoSchema):
    class Meta:
        model = Customer
        load_instance = True


class OrderSchema(SQLAlchemyAutoSchema):
    class Meta:
        model = Order
        load_instance = True

    quantity = fields.Integer(required=True, validate=validate.Range(1, 10))
    customer = Nested(CustomerSchema)


engine = sa.create_engine("sqlite://")
Base.metadata.create_all(engine)
records = [
    {"quantity": 2, "customer": {"id": 1, "city": "Rome"}},
    {"quantity": 99, "customer": {"id": 2, "city": "Oslo"}},
]
with Session(engine) as session:
    session.add_all([Customer(id=1, city="Bern"), Customer(id=2, city="Bern")])
    session.commit()
    refused = []
    for record in records:
        try:
            session.add(OrderSchema().load(record, session=session))
        except ValidationError as error:
            refused.append(error.messages)
    session.commit()
with Session(engine) as session:
    orders = session.scalars(sa.select(Order.customer_id)).all()
    cities = dict(session.execute(sa.select(Customer.id, Customer.city)).all())
print("refused:", refused)
print("orders of customers:", orders, "- cities of customers:", cities)


def validated(schema, data):
    """The errors that validate returns, and the classes of the rows that it has changed."""
    with Session(engine) as session:
        errors = schema.validate(data, session=session)
        return errors, [type(row).__name__ for row in session.dirty]


nested = validated(OrderSchema(), {"quantity": 3, "customer": {"id": 2, "city": "Riga"}})
outer = validated(CustomerSchema(), {"id": 2, "city": "Riga"})
print("validate, nested: errors", nested[0], "changed", nested[1])
print("validate, outer:  errors", outer[0], "changed", outer[1])
assert len(refused) == 1 and orders == [1] and cities == {1: "Rome", 2: "Oslo"}, "the behaviour has changed"
assert nested == ({}, ["Customer"]) and outer == ({}, []), "the behaviour has changed"
PYTHON
