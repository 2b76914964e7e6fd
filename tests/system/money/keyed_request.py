"""A request with its key, which may be repeated; each answer is compared with what a model expects at that time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from werkzeug.test import TestResponse

from tests.apps import Person
from tests.system.money.payments_model import Expected


@dataclass
class KeyedRequest:
    """`expected` is the model's present expectation, `answer` the answer once the request has succeeded.

    `old`: the stored answer has expired. `kept`: without success, but the key remains bound to this body.
    """

    person: Person
    path: str
    body: Any
    key: str
    expected: Callable[[], Expected]
    answer: TestResponse | None = None
    old: bool = False
    kept: bool = False

    def send(self) -> None:
        found = self.person.keyed(self.path, self.body, self.key)
        told = found.get_json(force=True)
        if self.answer is not None:
            assert found.headers.get("Idempotent-Replayed") == "true"
            assert (found.status_code, told["id"]) == (self.answer.status_code, self.answer.get_json()["id"])
            # A later answer shows the present state of an order.
            assert found.data == self.answer.data or (self.old and "lines" in told)
            return
        expected = self.expected()
        assert (found.status_code, told.get("code", "")) == (expected.status, expected.code)
        assert ("Idempotent-Replayed" in found.headers) == expected.replayed
        if expected.status < 300:
            self.answer = found
        self.kept, self.old = expected.kept, self.old and not expected.claims
        expected.apply(told)
