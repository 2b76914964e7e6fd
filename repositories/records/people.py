"""Accounts, logins and sessions."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct


class Account(Struct, frozen=True):
    """The public part of an account."""

    id: UUID
    handle: str
    display_name: str
    bio: str
    image_url: str | None
    created_at: datetime
    version: int


class Login(Struct, frozen=True):
    """The credentials of an account. Views never see them. `verified_at`: when the e-mail address was last verified."""

    account_id: UUID
    email: str
    password_hash: str
    verified_at: datetime | None = None


class Session(Struct, frozen=True, omit_defaults=True):
    """A signed-in device. `used_at` and `address` are of the last recorded use, None if an earlier version stored it.

    `seen` has, by store, the position that a replica must have reached to serve this account's reads (see
    `repositories/read_your_writes.py`).
    """

    id: UUID
    account_id: UUID
    device: str | None
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
    address: str | None = None
    seen: tuple[tuple[str, str], ...] = ()


class Ending(Struct, frozen=True):
    """The record that sessions of an account were ended.

    They are the one with `session_id` or, if that is None, all created up to `ended_at` except `kept_id`. `noted_at` is
    when this was recorded, `over_at` when all of them would have expired anyway.
    """

    id: UUID
    account_id: UUID
    session_id: UUID | None
    kept_id: UUID | None
    ended_at: datetime
    noted_at: datetime
    over_at: datetime
