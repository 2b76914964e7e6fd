"""Schemas shared by several resources."""

from typing import Any

import marshmallow as ma

from app.currencies import exponents
from app.http.edge.fields import INT64, JsonInt, Moment, Text
from repositories.records.money import Money

# For queries: the shape of a currency code. A code that is not in use simply finds nothing.
CODE_LIKE = ma.validate.Regexp(r"^[A-Z]{3}(?!\n)$", error="Must be an ISO 4217 code.")


class CurrencyCode(ma.validate.Validator):
    """Like marshmallow's `OneOf`, but loads the list of currencies on first use."""

    @property
    def choices(self) -> list[str]:
        return sorted(exponents())

    def __call__(self, value: str) -> str:
        if value not in exponents():
            raise ma.ValidationError("Must be an ISO 4217 code.")
        return value


class MoneySchema(ma.Schema):
    """Minor units of an ISO 4217 currency."""

    amount = JsonInt(required=True, validate=ma.validate.Range(0, INT64))
    currency = Text(required=True, validate=CurrencyCode())

    @ma.post_load
    def _record(self, loaded: dict[str, Any], **_: Any) -> Money:
        return Money(**loaded)


class MovedMoneySchema(MoneySchema):
    """An amount to be moved: at least one minor unit."""

    amount = JsonInt(required=True, validate=ma.validate.Range(1, INT64))


class MoneyShape(ma.Schema):
    amount = ma.fields.Integer(required=True)
    currency = ma.fields.String(required=True)


class AccountSchema(ma.Schema):
    id = ma.fields.UUID(required=True)
    handle = ma.fields.String(required=True)
    display_name = ma.fields.String(required=True)
    bio = ma.fields.String(required=True)
    image_url = ma.fields.String(required=True, allow_none=True)
    created_at = Moment(required=True)
    version = ma.fields.Integer(required=True)
