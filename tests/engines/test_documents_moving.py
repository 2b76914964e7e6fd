"""Changes that MongoDB's change stream reports around the time of a snapshot are among those of the next."""

from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from app.container import open_stores
from repositories.documents.mongo.moving import MongoPlace, Noted
from repositories.moving.places import Mark
from tests.engines import Shared
from tests.system.moving.role_traffic import role_traffic


def test_changes_around_a_snapshot_belong_to_the_next_snapshot(
    engines: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = role_traffic("documents", "mongo", tmp_path, lambda: engines)
    with closing(open_stores(one.at(one.place()))) as stores:
        stores.documents.migrate()
        place = stores.documents.place
        assert isinstance(place, MongoPlace)
        place.capture(Mark("leaving", 0, "new", "a move"))
        drained, seen, calls = place._drained, uuid4(), list[int]()

        def drained_later() -> list[Noted]:
            calls.append(1)
            if len(calls) == 2:  # the first after a snapshot
                stores.documents.views.apply(1, {seen: 1})
            return drained()

        monkeypatch.setattr(place, "_drained", drained_later)
        with place.moment():
            pass
        with place.moment() as moment:
            assert {key[0] for key in moment.changed["views"]} == {seen}
        place.release()
