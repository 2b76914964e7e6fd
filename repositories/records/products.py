"""Products and their attributes."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from repositories.records.money import Money

AttributeValue = str | int | float | bool


class Product(Struct, frozen=True):
    id: UUID
    seller_id: UUID
    title: str
    description: str
    category: str
    price: Money
    attributes: dict[str, AttributeValue]
    created_at: datetime
    updated_at: datetime
    version: int


class ProductFilter(Struct, frozen=True):
    """Conditions that must all hold. Attributes are compared by `attribute_text`; prices are inclusive minor units."""

    category: str | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    price_min: int | None = None
    price_max: int | None = None


class FacetValue(Struct, frozen=True):
    value: str
    count: int


class Facets(Struct, frozen=True):
    """Counts over the newest matching products: of each category, and of each attribute's values.

    Most frequent first, ties by value; attributes by name. `counted` is the number of products examined, which the
    caller limits.
    """

    counted: int
    categories: tuple[FacetValue, ...]
    attributes: dict[str, tuple[FacetValue, ...]]


def attribute_text(value: AttributeValue) -> str:
    """An attribute's value in the text form that filters and facets compare: `true`, `42`, `4.5`, `red`.

    A float without a fraction is written as the integer it equals, since JSON has one kind of number.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
