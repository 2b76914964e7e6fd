"""The answers to errors of stores."""

from collections.abc import Iterator

from app.http.edge.errors import from_store
from repositories.errors import Contention, Inconsistent, ReadOnly, StoreError, Unavailable
from tests.apps import System


def kinds(kind: type[StoreError] = StoreError) -> Iterator[type[StoreError]]:
    for one in kind.__subclasses__():
        yield one
        yield from kinds(one)


def test_every_store_error_has_an_answer(system: System) -> None:
    """Adapters have subclasses of the ports' errors, which are answered like their base classes."""
    found = set(kinds())
    assert {ReadOnly, Contention}.issubset(found)
    with system.app.test_request_context():
        for kind in found:
            answer = from_store(kind.__new__(kind))
            away = issubclass(kind, Unavailable | Contention)
            assert (answer.status_code == 503) == away
            assert ("Retry-After" in answer.headers) == away
            assert answer.status_code < 500 or away or kind is Inconsistent
