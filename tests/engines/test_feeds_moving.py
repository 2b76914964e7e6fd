"""A batch of Cassandra is not seen as a whole: what a move of feeds makes of a note that comes before its removal."""

import time
from contextlib import closing
from datetime import timedelta
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from cassandra.query import UNSET_VALUE

from repositories.feeds.cassandra import moving
from repositories.feeds.cassandra.gate import CHANGES
from repositories.feeds.cassandra.schema import CHANGE_ADD
from repositories.feeds.cassandra.store import CassandraFeeds
from repositories.feeds.id_time import micros
from repositories.feeds.layout import Layout
from repositories.feeds.moved_records import removal
from repositories.feeds.retention import now
from repositories.moving.places import Mark
from tests.engines import Shared
from tests.engines.feeds_calls import post

TIMEOUT = timedelta(seconds=20)


def test_a_removal_whose_note_is_seen_first_is_carried_over(engines: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    keyspace = f"moving_{uuid4().hex[:8]}"
    url = f"{engines.cassandra().url.rpartition('/')[0]}/{keyspace}"
    with closing(CassandraFeeds(url, timeout=TIMEOUT, retention=timedelta(days=90))) as feeds:
        feeds.migrate()
        owner, written = uuid4(), now()
        entry = post()
        feeds.push(entry, [owner], written)
        place = feeds.place
        assert place
        place.capture(Mark("leaving", 0, "new", "move"))
        row = (micros(written) + 1, owner, Layout().home.bucket(entry.post_id), entry.post_id)
        note_alone(feeds, keyspace, row)
        # The rest of the batch comes while the mover waits for it.
        waiting = SimpleNamespace(sleep=lambda _: feeds._link.write_behind("home_remove", [row]), time=time.time)
        monkeypatch.setattr(moving, "time", waiting)
        with place.moment() as moment:
            [key] = moment.changed["home timelines"]
            assert moment.of_keys("home timelines", [key]) == [removal("home timelines", key, row[0])]


def note_alone(feeds: CassandraFeeds, keyspace: str, row: tuple[int, UUID, int, UUID]) -> None:
    link = feeds._link
    statement = link._late(CHANGE_ADD.format(keyspace=keyspace))
    link._session.get(5.0).execute(statement, (UNSET_VALUE, 0, *CHANGES["home_remove"](row)))
