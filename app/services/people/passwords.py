"""Password hashing: argon2id (RFC 9106) with the minimum parameters of OWASP (19 MiB, t=2, p=1)."""

import contextlib
import threading
from base64 import b64encode
from collections.abc import Iterator
from secrets import token_bytes
from typing import Protocol

import argon2
from argon2.low_level import Type, hash_secret_raw

from app.errors import Overloaded
from app.services.people.password_rules import normal

WAIT_SECONDS = 2.0
TIME_COST, MEMORY_COST, PARALLELISM = 2, 19 * 1024, 1  # MEMORY_COST in KiB
SALT_BYTES, DIGEST_BYTES = 16, 32


class Hasher(Protocol):
    def hash(self, password: str) -> str: ...

    def verify(self, digest: str | None, password: str) -> bool:
        """`digest` is None for an unknown account: takes as long as a wrong password, returns False."""

    def derive(self, password: str, salt: bytes) -> bytes:
        """A key derived from the password, deterministic, as costly as a hash. `salt` has 16 bytes or more."""


class Argon2Hasher:
    """At most `concurrency` hashes at a time: each takes a core and 19 MiB. Waiting too long raises `Overloaded`."""

    def __init__(self, concurrency: int) -> None:
        self._argon2 = argon2.PasswordHasher(TIME_COST, MEMORY_COST, PARALLELISM, DIGEST_BYTES, SALT_BYTES)
        self._places = threading.BoundedSemaphore(concurrency)
        # In the form of a hash, but of no password: computing a real one would take each process 50 ms.
        salt, digest = (b64encode(token_bytes(size)).rstrip(b"=").decode() for size in (SALT_BYTES, DIGEST_BYTES))
        self._nobody = f"$argon2id$v=19$m={MEMORY_COST},t={TIME_COST},p={PARALLELISM}${salt}${digest}"

    def hash(self, password: str) -> str:
        with self._place():
            return self._argon2.hash(normal(password))

    def verify(self, digest: str | None, password: str) -> bool:
        with self._place():
            try:
                right = self._argon2.verify(digest or self._nobody, normal(password))
            except argon2.exceptions.VerifyMismatchError:
                return False
            return right and digest is not None

    def derive(self, password: str, salt: bytes) -> bytes:
        with self._place():
            return hash_secret_raw(
                password.encode(),
                salt,
                time_cost=TIME_COST,
                memory_cost=MEMORY_COST,
                parallelism=PARALLELISM,
                hash_len=32,
                type=Type.ID,
            )

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(timeout=WAIT_SECONDS):
            raise Overloaded("too many sign-ins at once")
        try:
            yield
        finally:
            self._places.release()
