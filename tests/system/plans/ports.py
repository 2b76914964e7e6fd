"""The methods of the ports of the relational and the documents role, by introspection, and which of them is running."""

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, get_type_hints

import pytest

from repositories.documents import DocumentStore
from repositories.relational import RelationalStore, Transaction

Methods = tuple[str, ...]
PORTS: dict[str, type] = {"relational": RelationalStore, "transaction": Transaction, "documents": DocumentStore}
# Methods without queries of the application's data: they connect, or create schemas.
NO_QUERIES = {
    *("relational.transaction", "relational.migrate", "relational.ping", "relational.close"),
    *("relational.dump.snapshot", "relational.dump.loading", "documents.dump.snapshot", "documents.dump.loading"),
    *("documents.migrate", "documents.ping", "documents.close", "documents.outbox.now"),
}


def abstract_methods(port: type) -> list[str]:
    return sorted(name for name in dir(port) if getattr(getattr(port, name), "__isabstractmethod__", False))


def methods_of(name: str, port: type) -> Iterator[str]:
    yield from (f"{name}.{method}" for method in abstract_methods(port))
    for part, its_port in get_type_hints(port).items():
        yield from (f"{name}.{part}.{method}" for method in abstract_methods(its_port))


METHODS = [method for name, port in PORTS.items() for method in methods_of(name, port)]


class RunningMethods:
    """Knows which methods of a port are running in this thread. Needs `installed`."""

    def __init__(self) -> None:
        self._thread = threading.local()

    @property
    def methods(self) -> Methods:
        """The running method; several if one called another. Empty outside of the ports."""
        found: Methods = getattr(self._thread, "methods", ())
        return found

    @contextmanager
    def installed(self, relational: RelationalStore, documents: DocumentStore) -> Iterator[None]:
        """Label the methods of the classes of these stores, which must not be decorators."""
        with relational.transaction() as unit:
            stores = {"relational": relational, "transaction": unit, "documents": documents}
        with pytest.MonkeyPatch.context() as patch:
            for name, store in stores.items():
                self._label(patch, name, PORTS[name], store)
                for part, port in get_type_hints(PORTS[name]).items():
                    self._label(patch, f"{name}.{part}", port, getattr(store, part))
            yield

    def _label(self, patch: pytest.MonkeyPatch, name: str, port: type, adapter: object) -> None:
        for method in abstract_methods(port):
            if f"{name}.{method}" not in NO_QUERIES:
                kind = type(adapter)
                patch.setattr(kind, method, self._labelled(f"{name}.{method}", getattr(kind, method)))

    def _labelled(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(*args: Any, **options: Any) -> Any:
            with self._running(name):
                found = method(*args, **options)
            return self._iterated(name, found) if isinstance(found, Iterator) else found

        return call

    def _iterated(self, name: str, items: Iterator[Any]) -> Iterator[Any]:
        while True:
            with self._running(name):
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item

    @contextmanager
    def _running(self, name: str) -> Iterator[None]:
        outer = self.methods
        self._thread.methods = (*outer, name)
        try:
            yield
        finally:
            self._thread.methods = outer
