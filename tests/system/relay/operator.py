"""An operator of webhooks: adds receivers, logs events and sends them."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from werkzeug.test import TestResponse

from app.worker.sinks.receivers import Receivers
from app.worker.sinks.running import envelopes_of
from config import Settings
from repositories.records.events import Event
from tests.apps import System, embedded
from tests.contracts.document_store import an_event
from tests.receiver import Receiver
from tests.system.crowd import SteppedClock

TOKEN = "an operators' token of 32 characters"
PATH = "/operator/webhooks"
LIKED = b"""{"type": "PostLiked", "post_id": "00000000-0000-7000-8000-00000000000a",
    "account_id": "00000000-0000-7000-8000-00000000000b"}"""
HOUR = timedelta(hours=1)


class Operator:
    """Administers the webhooks of a system whose clock only moves when the test moves it."""

    def __init__(self, system: System, clock: SteppedClock | None) -> None:
        self.system = system
        self.clock = clock or SteppedClock()
        self._client = system.app.test_client()

    def send(self, method: str, path: str = "", body: Any = None, token: str = TOKEN) -> TestResponse:
        options = {} if body is None else {"json": body}
        return self._client.open(PATH + path, method=method, headers={"Authorization": f"Bearer {token}"}, **options)

    def ask(self, method: str, path: str = "", body: Any = None, status: int = 200) -> Any:
        answer = self.send(method, path, body)
        assert answer.status_code == status, answer.text
        return answer.get_json() if answer.data else None

    def add(self, receiver: Receiver, *types: str) -> dict[str, str]:
        made: dict[str, str] = self.ask("POST", body={"url": receiver.url, "types": types}, status=201)
        return made

    def log(self, *aggregates: str, kind: str = "PostLiked") -> list[str]:
        """Append an event for each aggregate to the event log, as the relay does. Returns their ids."""
        found = map(an_event, aggregates)
        events = [Event(one.id, kind, one.aggregate, one.happened_at, LIKED, "00-1-2-01") for one in found]
        with self.system.container.stores.relational.transaction() as tx:
            tx.event_log.append(events, envelopes_of(events, self.system.container.settings.sinks_source))
        return [str(one.id) for one in events]

    def relay(self, rounds: int = 1) -> None:
        """Serve the webhooks like relays, with new workers in each round, an hour after the last one."""
        for number in range(rounds):
            self.clock.forward(number and HOUR.total_seconds())
            for worker in Receivers(self.system.container).workers():
                while worker.step():
                    continue
                worker.close()

    def state(self, webhook: dict[str, str]) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("GET", f"/{webhook['id']}")
        return found

    def dead(self, webhook: dict[str, str]) -> list[str]:
        return [one["event_id"] for one in self.ask("GET", f"/{webhook['id']}/dead-letters?limit=100")["items"]]


def settings(tmp_path: Path, **more: Any) -> Settings:
    own: dict[str, Any] = {"webhooks_token": TOKEN, "webhooks_networks": "127.0.0.0/8", "webhooks_timeout": 1.0}
    return Settings(**embedded(tmp_path), **own | {"webhooks_receiver_hours": 12.0} | more)
