"""Stores for the contract suites of the documents role."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from repositories.documents import DocumentStore
from tests.contracts.document_store import ADAPTERS, opened


@pytest.fixture(params=ADAPTERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DocumentStore]:
    yield from opened(request.param, request, tmp_path)
