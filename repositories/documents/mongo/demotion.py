"""Retries a call once, within the same deadline, if the member that it reached is no longer the primary.

Such a refusal has changed nothing, and makes the driver look for the new primary. Other errors of a failover may come
after the write. These are left to the caller, who retries with an idempotency key.
"""

import functools
from collections.abc import Callable
from inspect import isfunction
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from repositories.deadline import within
from repositories.documents.mongo.client import MongoConnection
from repositories.documents.mongo.errors import Demoted

P = ParamSpec("P")
R = TypeVar("R")


class OnMongo(Protocol):
    _connection: MongoConnection


Part = TypeVar("Part", bound=OnMongo)


def follows_primary(part: type[Part]) -> type[Part]:
    """Class decorator that adds the retry to every public method. All may be repeated, since their writes are by id."""
    for name, method in list(vars(part).items()):
        if isfunction(method) and not name.startswith("_"):
            setattr(part, name, _with_retry(method))
    return part


def _with_retry(method: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    @functools.wraps(method)
    def call(self: OnMongo, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with within(self._connection.seconds):
            try:
                return method(self, *args, **kwargs)
            except Demoted:
                return method(self, *args, **kwargs)

    return call
