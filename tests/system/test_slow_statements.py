"""Slow statements are logged with their plan, but without any values."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.telemetry import spans
from config import Settings
from repositories import slow_statements
from repositories.postgres.explaining import numbered
from tests.apps import Person, System, embedded, running
from tests.contracts.relational_store import new_database
from tests.engines import Shared
from tests.engines.kernel import wait_until
from tests.system.real import KEYSPACE, real_urls

PATIENCE = 60.0
TRACE = "0af7651916cd43dd8448eb211c80319c"
SECRET = "Secret words"
# By store: a part of the text of one of its statements, and a part of its plan.
EMBEDDED = {
    "relational": ("FROM follows", "SEARCH follows USING"),
    "documents": ("FROM documents_posts", "SEARCH documents_posts USING"),
    "feeds": ("FROM feeds_", "USING"),
    "sessions": ("FROM hot_sessions", "SEARCH hot_sessions USING"),
    "cache": ("FROM hot_values", "USING"),
}
ENGINES = {
    "relational": ("FROM follows", "Index"),
    "documents": ("find posts", "IXSCAN"),
    "feeds": ("SELECT", ""),
    "sessions": ("GET", ""),
    "cache": ("MGET", ""),
}


@pytest.fixture(autouse=True)
def _everything_is_slow(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    slow_statements._noted.clear()
    slow_statements.log_after(1e-9)
    with caplog.at_level(logging.WARNING, logger=slow_statements.log.name):
        yield
    slow_statements.log_after(0)
    slow_statements._noted.clear()


def test_slow_statements_of_the_embedded_stores_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with running(Settings(**embedded(tmp_path))) as system:
        assert_logged(system, EMBEDDED, caplog)


@pytest.mark.engines
def test_slow_statements_of_the_engines_are_logged(engines: Shared, caplog: pytest.LogCaptureFixture) -> None:
    with running(Settings(**real_urls(engines, "slow", keyspace=KEYSPACE), registrations=0)) as system:
        assert_logged(system, ENGINES, caplog)


def assert_logged(system: System, expected: dict[str, tuple[str, str]], caplog: pytest.LogCaptureFixture) -> None:
    ada, bob = system.person(), system.person()
    post = ada.publish(SECRET, tags=["secret-tag"])
    texts: list[str] = []

    def is_there() -> bool:
        used(bob, ada.handle, post)
        system.relay.drain()
        texts[:] = [record.getMessage() for record in caplog.records if record.name == slow_statements.log.name]
        return all(any(shown(text, store, *parts) for text in texts) for store, parts in expected.items())

    assert wait_until(is_there, PATIENCE), "\n\n".join(texts)
    said = "\n".join(texts)
    me = ada.get("/accounts/me")["account"]
    for secret in (ada.handle, bob.handle, me["id"], me["email"], post, SECRET, "secret-tag", "example.com"):
        assert secret not in said
    assert not [text for text in texts if "not explained" in text]


def used(person: Person, handle: str, post: str) -> None:
    with spans.request({"HTTP_TRACEPARENT": f"00-{TRACE}-b7ad6b7169203331-00"}):
        person.put(f"/accounts/{handle}/follow")
    for path in ("/feed", f"/posts/{post}/comments", f"/accounts/{handle}/followers", "/posts", "/wallet"):
        person.get(path)
    person.get("/posts", tag="secret-tag")
    person.put(f"/posts/{post}/like")


def shown(text: str, store: str, of_text: str, of_plan: str) -> bool:
    head, _, rest = text.partition("\n")
    return head.startswith(f"slow statement of {store}: ") and of_text in rest and of_plan in rest


def test_only_slow_statements_are_logged_and_each_once(caplog: pytest.LogCaptureFixture) -> None:
    asked: list[int] = []

    def explain() -> slow_statements.Explained:
        asked.append(1)
        return slow_statements.Explained("SELECT 1", "as it is")

    slow_statements.log_after(0.5)
    statement = slow_statements.of("key", explain)
    assert statement is not None
    for seconds in (0.4, 0.6, 0.7):
        slow_statements.took("feeds", "read", seconds, statement)
    assert wait_until(lambda: bool(caplog.records), PATIENCE)
    assert [record.getMessage() for record in caplog.records] == [
        "slow statement of feeds: read took 0.600 s\nSELECT 1\nas it is"
    ]
    assert len(asked) == 1
    slow_statements.log_after(0)
    assert slow_statements.of("key", explain) is None


def test_an_error_of_explain_is_logged_by_its_type_only(caplog: pytest.LogCaptureFixture) -> None:
    def explain() -> slow_statements.Explained:
        raise ValueError(SECRET)

    statement = slow_statements.of("key", explain)
    assert statement is not None
    slow_statements.took("feeds", "read", 1, statement)
    assert wait_until(lambda: bool(caplog.records), PATIENCE)
    assert "not explained: ValueError" in caplog.text
    assert SECRET not in caplog.text


def test_parameter_marks_of_every_kind_are_numbered() -> None:
    assert numbered("a = %(one)s OR b = ANY (%(two)b) OR c = %(one)s") == "a = $1 OR b = ANY ($2) OR c = $1"
    assert numbered("a = %s AND b = ANY (%b) AND c %% 5 = %t AND d LIKE 'x%%'") == (
        "a = $1 AND b = ANY ($2) AND c % 5 = $3 AND d LIKE 'x%'"
    )


@pytest.mark.engines
def test_slow_statements_of_postgresql_in_other_roles_are_logged(
    engines: Shared, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    urls: dict[str, Any] = embedded(tmp_path)
    url = new_database(engines.postgres())
    with running(Settings(**urls | {"feeds_url": url, "sessions_url": url, "cache_url": url})) as system:
        assert_logged(system, EMBEDDED | dict.fromkeys(("feeds", "sessions", "cache"), ("$1", "(cost=")), caplog)
