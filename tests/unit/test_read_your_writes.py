"""Read-your-writes: positions, the token that carries them, and which reads may go to a replica."""

import inspect
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from itsdangerous import TimestampSigner

from app.http.edge import own_writes
from repositories import read_your_writes
from repositories.address import BadAddress
from repositories.documents import DocumentStore
from repositories.documents.mongo.target import reads_secondaries
from repositories.postgres.target import replicas_of
from repositories.relational import RelationalStore, open_store
from repositories.relational.postgres.positions import LogState, PrimaryLog, position_of
from tests.contracts.relational_store import TIMEOUT

SECRETS = ("new" * 20, "old" * 20)
STARTED = datetime(2031, 5, 17, tzinfo=UTC)
URL = "postgresql://ada:p%40ss@main:5433/quartet?sslmode=require"


class NoHistory:
    """A server whose timeline history the role may not read."""

    def execute(self, *_: object, **__: object) -> "NoHistory":
        return self

    def fetchone(self) -> None:
        return None


NOBODY: Any = NoHistory()


def at(
    timeline: int, location: int, moment: float = 0.0, *, follows: bool = False, started: datetime = STARTED
) -> LogState:
    return LogState(started, timeline, location, moment, follows)


def test_a_token_is_read_back_and_forgeries_are_not() -> None:
    positions = {"relational": position_of(1, 77), "documents": position_of(9, 1)}
    token = own_writes.issued(SECRETS[0], positions)
    assert own_writes.read(SECRETS, token) == positions
    assert own_writes.read(SECRETS, own_writes.issued(SECRETS[1], positions)) == positions
    assert own_writes.read(SECRETS, own_writes.issued("foreign" * 10, positions)) == {}
    for forged in ("", "x", token[:-1], token + "x", token.swapcase(), "\u00e9", "." * 500, token.replace(".", "")):
        assert own_writes.read(SECRETS, forged) == {}


def test_a_token_is_of_no_use_after_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    now = int(time.time())
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _: now - read_your_writes.KEPT_SECONDS - 2)
    token = own_writes.issued(SECRETS[0], {"relational": position_of(1, 1)})
    assert own_writes.read(SECRETS, token) == {}


def test_a_token_of_a_server_whose_clock_is_ahead_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    positions, now = {"relational": position_of(1, 1)}, int(time.time())
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _: now + 5)
    token = own_writes.issued(SECRETS[0], positions)
    monkeypatch.undo()
    assert own_writes.read(SECRETS, token) == positions


@pytest.mark.parametrize("signed", [["relational"], "relational", 7, None, {"relational": 7}, {"relational": "xyz"}])
def test_a_signed_token_of_another_form_has_no_positions(signed: Any) -> None:
    token = own_writes.serializer(SECRETS[0]).dumps(signed)
    assert own_writes.read(SECRETS, str(token)) == {}


def test_the_greater_position_of_each_store_wins() -> None:
    low, high = position_of(1, 2**40), position_of(2, 5)
    assert read_your_writes.merged({"relational": low}, {"relational": high, "documents": low}) == {
        "relational": high,
        "documents": low,
    }
    mine = read_your_writes.Seen({"relational": high}, reads=False)
    mine.note("relational", low)
    assert (mine.wrote, mine.positions) == (False, {"relational": high})
    mine.note("relational", high)
    assert mine.wrote
    mine.note("documents", low)
    assert (mine.wrote, mine.positions) == (True, {"relational": high, "documents": low})


def test_a_replica_has_a_position_when_timeline_and_location_are_reached() -> None:
    assert at(1, 100).has("")
    assert at(1, 100).has(position_of(1, 100))
    assert not at(1, 99).has(position_of(1, 100))
    assert not at(1, 2**40).has(position_of(2, 100))
    # A server on a newer timeline may still be before the point where that timeline began.
    assert not at(2, 99).has(position_of(1, 100))
    assert at(2, 100).has(position_of(1, 100))


def test_a_server_whose_history_differs_from_the_primarys_is_noticed() -> None:
    primary, other = at(2, 100), datetime(2031, 5, 18, tzinfo=UTC)
    assert at(2, 90, follows=True, started=other).shares(primary)
    assert primary.shares(primary)
    assert not primary.shares(None)
    # A server that is behind, one promoted from the same origin, one with the same timeline number but another history.
    assert not at(1, 90, follows=True, started=other).shares(primary)
    assert not at(3, 200, started=other).shares(primary)
    assert not at(2, 200, started=other).shares(primary)


def test_the_lag_counts_since_the_primary_was_at_that_position() -> None:
    moment = 1000.0
    log = PrimaryLog(lambda: moment)
    assert not log.lag(at(1, 100)).serves
    for age, location in ((40, 100), (10, 200), (1, 300)):
        log.note(at(1, location, moment - age), NOBODY)
    assert log.lag(at(1, 300)) == read_your_writes.ReplicaState(serves=True, lag_seconds=0.0, lag_bytes=0)
    assert log.lag(at(1, 400)).lag_bytes == 0
    behind = log.lag(at(1, 250))
    assert behind.serves
    assert behind.lag_bytes == 50
    assert behind.lag_seconds is not None
    assert behind.lag_seconds >= 10
    assert not log.lag(at(1, 150)).serves
    assert log.lag(at(1, 50)) == read_your_writes.ReplicaState(serves=False, lag_seconds=None, lag_bytes=250)


def test_the_bound_of_the_lag_holds_while_the_primary_does_not_answer() -> None:
    now = [100.0]
    log = PrimaryLog(lambda: now[0])
    log.note(at(1, 300, 100.0), NOBODY)
    assert log.lag(at(1, 300)) == read_your_writes.ReplicaState(serves=True, lag_seconds=0.0, lag_bytes=0)
    for seconds, serves in ((20, True), (31, False)):
        now[0] = 100.0 + seconds
        # At the primary's location when it answered last, and beyond it.
        for location in (300, 400):
            assert log.lag(at(1, location)) == read_your_writes.ReplicaState(serves, seconds, 0)


def test_positions_beyond_the_end_of_a_timeline_are_lost() -> None:
    log = PrimaryLog()
    assert not log.lost(position_of(1, 1))
    log.note(at(1, 100), NOBODY)
    assert not log.lost(position_of(1, 10**6))
    log.note(at(2, 120), NOBODY)
    assert not log.lost(position_of(1, 120))
    assert log.lost(position_of(1, 121))
    assert not log.lost(position_of(2, 10**6))


def test_every_method_that_may_lag_exists_in_its_port() -> None:
    for store, port in (("relational", RelationalStore), ("documents", DocumentStore)):
        parts = inspect.get_annotations(port, eval_str=True)
        for part, methods in read_your_writes.MAY_LAG[store].items():
            for method in methods:
                assert method in vars(parts[part]), f"{store}.{part}.{method}"


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("one", ["one:5432"]),
        ("one:1, two", ["one:1", "two:5432"]),
        ("one:1,two:2 [::1]:3", ["one:1", "two:2", "::1:3"]),
        ("postgresql://x@one,two:2/db", ["one:5432", "two:2"]),
        ("postgresql://x@one/db,postgresql://two/db three", ["one:5432", "two:5432", "three:5432"]),
    ],
)
def test_replicas_are_named_by_hosts_or_urls(text: str, hosts: list[str]) -> None:
    assert [found.server for found in replicas_of(text, URL)] == hosts


def test_hosts_inherit_from_the_url_and_urls_inherit_nothing() -> None:
    plain, own = replicas_of("one postgresql://bob@two/other", URL)
    assert plain.keywords == {"user": "ada", "password": "p@ss", "dbname": "quartet", "sslmode": "require"}
    assert plain.hosts == ({"host": "one", "port": "5432"},)
    assert own.keywords == {"user": "bob", "dbname": "other"}
    [beside] = replicas_of("one", "postgresql://ada@/quartet?host=/run/one")
    assert beside.hosts == ({"host": "one", "port": "5432"},)


WRONG = ["one:x", "one:70000", ",", "one,", "one/db", "bob:p@ss@one", "bob@one", "mysql://one", "postgresql://"]
WRONG += ["one?x=1", "postgresql://bob:s3cret@one/db?nothing=1", "postgresql://one#two"]


@pytest.mark.parametrize("text", [*WRONG, " , "])
def test_a_wrong_name_is_refused_for_its_setting_and_not_repeated(text: str) -> None:
    with pytest.raises(BadAddress) as caught:
        open_store(URL, timeout=TIMEOUT, pool=1, replicas=text)
    assert caught.value.setting == "relational_replicas"
    assert "s3cret" not in str(caught.value)
    assert "p@ss" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "reads"),
    [
        ("", False),
        ("?replicaSet=rs0", False),
        ("?readPreference=primary", False),
        ("?replicaSet=rs0&readPreference=secondaryPreferred", True),
        ("?readpreference=secondaryPreferred", True),
    ],
)
def test_the_url_decides_whether_secondaries_are_read(options: str, reads: bool) -> None:  # noqa: FBT001
    assert reads_secondaries(f"mongodb://h1,h2/quartet{options}") is reads


def test_an_embedded_store_has_no_replicas() -> None:
    with pytest.raises(BadAddress) as caught:
        open_store("sqlite:///nowhere.db", timeout=TIMEOUT, pool=1, replicas="one")
    assert caught.value.setting == "relational_replicas"
