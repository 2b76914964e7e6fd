"""Own writes: the positions of a client's writes are stored with its session and sent to it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.clock import utc_now
from app.http.edge import own_writes
from app.services.people.sessions import digest
from config import Settings
from repositories import read_your_writes
from repositories.store import Store
from tests.apps import System, embedded, running

WRITTEN = {"documents": f"{7:012x}{1:012x}"}


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    monkeypatch.setattr(Store, "replicated", True)
    with running(Settings(**embedded(tmp_path))) as system:
        yield system


def writes(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a post note the position `WRITTEN`, since embedded stores have none."""
    posts = system.container.stores.documents.posts
    add = posts.add

    def add_and_note(*args: Any) -> None:
        add(*args)
        if mine := read_your_writes.writing():
            mine.note("documents", WRITTEN["documents"])

    monkeypatch.setattr(posts, "add", add_and_note)


def test_a_replayed_answer_has_the_position_of_the_first(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process died before it noted the position in the session."""
    ada, sessions = system.person(), system.container.stores.sessions
    writes(system, monkeypatch)
    draft: dict[str, Any] = {"json": {"title": "t", "body": "b"}, "headers": {"Idempotency-Key": "once"}}
    with monkeypatch.context() as dying:
        dying.setattr(sessions, "note_seen", lambda *_: None)
        ada.send("POST", "/posts", **draft)
    again = ada.send("POST", "/posts", **draft)
    assert again.headers["Idempotent-Replayed"] == "true"
    secrets = system.container.settings.secrets
    assert own_writes.read(secrets, again.headers["Quartet-Seen"]) == WRITTEN
    kept = sessions.find(digest(ada.token or ""), now=utc_now())
    assert kept
    assert dict(kept.seen) == WRITTEN


def test_each_answer_to_a_write_has_the_position_even_if_unchanged(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = system.person()
    writes(system, monkeypatch)
    for _ in range(2):
        answer = ada.send("POST", "/posts", json={"title": "t", "body": "b"})
        assert own_writes.read(system.container.settings.secrets, answer.headers["Quartet-Seen"]) == WRITTEN


def test_shared_caches_vary_by_the_position_seen(system: System) -> None:
    ada = system.person()
    post, nobody = ada.publish(), system.anybody()
    for path in (f"/posts/{post}", f"/posts/{post}", f"/accounts/{ada.handle}/followers", "/posts/none"):
        assert nobody.send("GET", path).headers.getlist("Vary")[-1].endswith("Quartet-Seen")
