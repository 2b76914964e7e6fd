#!/usr/bin/env bash
# Expected: The OpenAPI document that apispec (and so flask-smorest) makes of a marshmallow schema allows what the API
# accepts and answers, and forbids what it refuses, where OpenAPI has a word for it.
# Observed: Not for these three. `Range(min=0, min_inclusive=False)`: the document allows 0, the API refuses it.
# `Integer(as_string=True)`, the usual remedy for ids above 2**53: the document says integer, the API answers a string,
# so that generated clients and validators refuse each answer (known: apispec issue 314, pull request 805).
# `Nested(..., allow_none=True)` in OpenAPI 3.0: the document allows every object, whatever the nested schema says,
# since it is `anyOf` of that schema and of any nullable object; tests against the document find no fault there any
# more. In OpenAPI 3.1 the last one is right.
source "$(dirname "$0")/start.sh"
install apispec==6.10.1 marshmallow==4.4.0 openapi-schema-validator==0.9.0
python - <<'PYTHON'
import importlib.metadata as packages

import marshmallow as ma
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from openapi_schema_validator import OAS30Validator, OAS31Validator

print(*(f"{name} {packages.version(name)}" for name in ("apispec", "marshmallow", "openapi-schema-validator")), sep=", ")


class Address(ma.Schema):
    town = ma.fields.String(required=True)


class Order(ma.Schema):
    price = ma.fields.Float(validate=ma.validate.Range(min=0, min_inclusive=False))
    number = ma.fields.Integer(as_string=True)
    address = ma.fields.Nested(Address, allow_none=True)


def document(version):
    spec = APISpec("Orders", "1", version, plugins=[MarshmallowPlugin()])
    spec.components.schema("Order", schema=Order)
    return spec.to_dict()


def allowed(version, validator, order):
    found = document(version)
    return validator({"$ref": "#/components/schemas/Order", "components": found["components"]}).is_valid(order)


def seen(version, validator):
    properties = document(version)["components"]["schemas"]["Order"]["properties"]
    answer = Order().dump({"number": 2**60})
    found = []
    for name, order, by_schema in (
        ("price", {"price": 0}, not Order().validate({"price": 0})),
        ("number", answer, True),
        ("address", {"address": {"town": 5}}, not Order().validate({"address": {"town": 5}})),
        ("address", {"address": None}, not Order().validate({"address": None})),
    ):
        found.append((by_schema, allowed(version, validator, order)))
        print(f"OpenAPI {version}: {order} the schema {'allows' if by_schema else 'refuses'}, the document", end=" ")
        print("allows" if found[-1][1] else "refuses", properties[name])
    return found


old, new = seen("3.0.3", OAS30Validator), seen("3.1.0", OAS31Validator)
assert old == [(False, True), (True, False), (False, True), (True, True)], "the behaviour has changed"
assert new == [(False, True), (True, False), (False, False), (True, True)], "the behaviour has changed"
PYTHON
