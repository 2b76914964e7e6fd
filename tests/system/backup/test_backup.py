"""A backup has everything committed before its moment, and can be restored completely into any set of engines."""

import stat
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.clock import utc_now
from app.container import Container, build
from app.doctor import Drift
from app.doctor.rebuild import Rebuild
from config import Settings
from repositories.documents.sql.dump import LOADS
from repositories.relational.dump import COPIED, LEFT_OUT
from repositories.relational.schema.tables import metadata
from tests.apps import PlainHasher, embedded, running
from tests.system.backup.conftest import Backup, quartet
from tests.system.crowd import defined, publish, served

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def records(path: Path) -> list[bytes]:
    """All lines except the first and the last, which contain the time of the backup."""
    with zstd.open(path) as lines:
        return list(lines)[1:-1]


def test_every_kind_is_in_the_file(backup: Backup) -> None:
    lines = records(backup.path)
    starts = [at for at, line in enumerate(lines) if line.startswith(b'{"line":"start"')]
    empty = [lines[at] for at in starts if lines[at + 1].startswith(b"{")]
    assert (len(starts), empty) == (4 + len(COPIED), [])


def test_every_table_is_copied_or_left_out_for_a_reason() -> None:
    assert {one.name for one in COPIED} | LEFT_OUT.keys() == metadata.tables.keys()


def test_only_the_owner_reads_the_file_and_no_partial_file_is_left(backup: Backup) -> None:
    assert stat.S_IMODE(backup.path.stat().st_mode) == 0o600
    assert [one for one in backup.path.parent.iterdir() if one.suffix == ".part"] == []
    again = quartet(embedded(backup.path.parent), "dump", str(backup.path))
    assert (again.exit_code, again.output) == (1, f"Error: {backup.path}: it exists already\n")


def test_a_restore_brings_everything_back_and_dumps_the_same(
    backup: Backup, other_stores: dict[str, Any], tmp_path: Path
) -> None:
    done = quartet(other_stores, "restore", str(backup.path))
    assert done.exit_code == 0, done.output
    assert "kinds are as in the file" in done.output
    assert quartet(other_stores, "restore", "--verify-only", str(backup.path)).exit_code == 0
    second = tmp_path / "second.dump"
    assert quartet(other_stores, "dump", str(second)).exit_code == 0
    assert records(second) == records(backup.path)

    container = build(Settings(**other_stores), hasher=PlainHasher())
    try:
        in_order(container)
        assert backup.before <= set(container.stores.documents.posts.get(backup.before))
        publish(container, backup.readers[0])
    finally:
        container.close()
    differs = quartet(other_stores, "restore", "--verify-only", str(backup.path))
    assert differs.exit_code == 1
    assert "in the file" in differs.output


def test_feeds_are_right_at_once_and_after_a_rebuild(backup: Backup, tmp_path: Path) -> None:
    # The clock of the dumped system was ahead, so its events are due later.
    with running(Settings(**embedded(tmp_path)), lambda: utc_now() + timedelta(days=1)) as system:
        container = system.container
        assert quartet(embedded(tmp_path), "restore", str(backup.path)).exit_code == 0
        in_feeds(container, backup)
        assert system.relay.drain()
        Rebuild(container, system.relay.round, wait=True).everybody()
        in_feeds(container, backup)
        drift: list[str] = []
        Drift(container, drift.append, repair=True).everybody()
        assert drift == []


def in_feeds(container: Container, backup: Backup) -> None:
    for reader in backup.readers:
        assert set(served(container, reader)) >= backup.before
        assert served(container, reader) == defined(container, reader)


def in_order(container: Container) -> None:
    audit = container.stores.relational.audit
    assert [*audit.ledger(), *audit.stock()] == []


def test_a_restore_into_stores_that_are_not_empty_is_refused(backup: Backup) -> None:
    refused = quartet(embedded(backup.path.parent), "restore", str(backup.path))
    message = "Error: the relational store is not empty, and a backup goes into empty stores only\n"
    assert (refused.exit_code, refused.output) == (1, message)


def test_an_interrupted_restore_continues(backup: Backup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    urls, loaded = embedded(tmp_path), [0]
    with running(Settings(**urls)):
        pass

    def interrupted(*_: object) -> None:
        loaded[0] += 1
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(LOADS, "products", interrupted)
        done = quartet(urls, "restore", str(backup.path))
    assert (done.exit_code, loaded) == (130, [1])
    assert "run it again with --again" in done.output
    with monkeypatch.context() as patch:
        patch.setattr("repositories.relational.embedded.store._load", interrupted)
        done = quartet(urls, "restore", str(backup.path), "--again")
    assert (done.exit_code, loaded) == (130, [2])
    refused = quartet(urls, "restore", str(backup.path))
    assert refused.exit_code == 1
    assert "run it again with --again" in refused.output
    done = quartet(urls, "restore", str(backup.path), "--again")
    assert done.exit_code == 0, done.output
