"""Keyset paging: `limit`, opaque signed cursors, and the page shape `{"items": [...], "next": cursor|null}`.

A cursor is a position, bound to its list and filters (its scope). It is signed but not encrypted, since it contains
only ids and times that the page has shown.
"""

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Protocol, TypeVar
from uuid import UUID

import itsdangerous
import marshmallow as ma

from app.errors import BadRequest
from app.http.edge.fields import Int, Text
from app.ids import EPOCH, MICROSECOND
from repositories.records.graph import TimeCursor

R = TypeVar("R")
Position = Sequence[str | int]
USUAL_LIMIT = 20
# Decoded cursors that are cached, and the longest cursor in characters that is.
REMEMBERED, SHORT = 4096, 200


class Identified(Protocol):
    @property
    def id(self) -> UUID: ...


class Cursors:
    """Signs and verifies cursors. `secrets` are newest first: the first one signs, all verify."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = secrets
        self._cached_position = lru_cache(REMEMBERED)(self._position)

    def issue(self, scope: str, position: Position | None) -> str | None:
        return None if position is None else self._signed(scope, position, self._secrets[0])

    def onward(self, scope: str, found: Sequence[R], limit: int, position: Callable[[R], Position]) -> str | None:
        """The cursor of the next page, if more than `limit` items were found; it starts after item `limit`."""
        return self.issue(scope, position(found[limit - 1])) if len(found) > limit else None

    def read(self, scope: str, cursor: str) -> list[Any]:
        """Raises `BadRequest` with code `bad_cursor` for anything this server did not issue for this list."""
        # Cached, because clients poll with the same cursor.
        position = self._cached_position(scope, cursor) if len(cursor) <= SHORT else self._position(scope, cursor)
        if position is None:
            raise BadRequest("this cursor was not issued for this list", code="bad_cursor")
        return list(position)

    def id(self, scope: str, cursor: str | None) -> UUID | None:
        """The position in a list that is ordered by id alone. Raises like `read`."""
        return None if cursor is None else UUID(self.read(scope, cursor)[0])

    def time(self, scope: str, cursor: str | None) -> TimeCursor | None:
        """The position in a list that is ordered by time, then by id. Raises like `read`."""
        if cursor is None:
            return None
        micros, its_id = self.read(scope, cursor)
        return TimeCursor(EPOCH + micros * MICROSECOND, UUID(its_id))

    def _position(self, scope: str, cursor: str) -> tuple[Any, ...] | None:
        """The position, or None if the cursor was not issued for this scope.

        The text must equal the issued one, because base64 has bits that the signature does not cover.
        """
        for secret in self._secrets:
            with contextlib.suppress(itsdangerous.BadData):
                position: list[Any] = _serializer(scope, secret).loads(cursor)
                if self._signed(scope, position, secret) == cursor:
                    return tuple(position)
        return None

    def _signed(self, scope: str, position: Position, secret: str) -> str:
        return str(_serializer(scope, secret).dumps(list(position)))


def by_id(found: Identified) -> Position:
    return [str(found.id)]


def by_time(at: datetime, its_id: UUID) -> Position:
    return [(at - EPOCH) // MICROSECOND, str(its_id)]


def _serializer(scope: str, secret: str) -> itsdangerous.URLSafeSerializer:
    return itsdangerous.URLSafeSerializer(
        secret,
        salt=f"cursor:{scope}",
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
    )


class PageQuery(ma.Schema):
    limit = Int(
        load_default=USUAL_LIMIT,
        validate=ma.validate.Range(1, 100),
        metadata={"description": "maximum number of items"},
    )
    cursor = Text(
        load_default=None,
        validate=ma.validate.Length(1, 1000),
        metadata={"description": "`next` of the previous page"},
    )


def page_of(item: type[ma.Schema], name: str, **more: ma.fields.Field[Any]) -> type[ma.Schema]:
    """Create the documented schema of a page of `item`. `more` are members beside `items` and `next`."""
    return ma.Schema.from_dict(
        {
            "items": ma.fields.List(ma.fields.Nested(item), required=True),
            "next": ma.fields.String(required=True, allow_none=True),
            **more,
        },
        name=name,
    )
