"""Calls of MongoDB that reach a member which is no longer the primary."""

from datetime import timedelta
from typing import Any

import pytest
from pymongo.errors import NotPrimaryError

from repositories.deadline import remaining
from repositories.documents.mongo.client import MongoConnection
from repositories.documents.mongo.demotion import follows_primary
from repositories.documents.mongo.errors import Demoted, translated
from repositories.errors import Unavailable

SECONDS = 2.0
REFUSED: dict[str, Any] = {"code": 10107}
INTERRUPTED: dict[str, Any] = {"code": 11602}
COMMITTING: dict[str, Any] = {"code": 10107, "errorLabels": ["UnknownTransactionCommitResult"]}


@follows_primary
class ErrorsInTurn:
    """Raises these errors, one per call."""

    def __init__(self, *errors: dict[str, Any]) -> None:
        self._connection = MongoConnection(
            "mongodb://localhost/?replicaSet=rs0", timeout=timedelta(seconds=SECONDS), pool=1
        )
        self.errors = list(errors)
        self.left: list[float] = []

    def ask(self, word: str) -> str:
        self.left.append(remaining(float("inf")))
        if self.errors:
            raise translated(NotPrimaryError("not primary", self.errors.pop(0)))
        return word


def test_a_refused_command_is_retried_once_within_the_deadline() -> None:
    part = ErrorsInTurn(REFUSED)
    assert part.ask("word") == "word"
    first, second = part.left
    assert SECONDS >= first >= second
    with pytest.raises(Demoted):
        ErrorsInTurn(REFUSED, REFUSED).ask("word")


@pytest.mark.parametrize("error", [INTERRUPTED, COMMITTING])
def test_a_command_that_may_have_run_is_not_retried(error: dict[str, Any]) -> None:
    part = ErrorsInTurn(error)
    with pytest.raises(Unavailable):
        part.ask("word")
    assert len(part.left) == 1
