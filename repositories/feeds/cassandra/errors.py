"""Translates the errors of Cassandra and its driver into those of the ports."""

import contextlib
from collections.abc import Iterator

from cassandra import DriverException
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionException
from cassandra.protocol import ErrorMessage

from repositories.errors import Unavailable

_DRIVER = (NoHostAvailable, DriverException, ErrorMessage, ConnectionException, TimeoutError, OSError)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    try:
        yield
    except _DRIVER as error:
        raise Unavailable("feeds", f"{type(error).__name__}: {error}") from error
