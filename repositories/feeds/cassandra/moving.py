"""Feeds in Cassandra as a place of a move. How its writes are noted and refused is explained in `moving_gate.py`.

Cassandra has no snapshots. Timelines are read by ranges of tokens; records that changed before their range was read are
left out and reported as `unsure`.
"""

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from cassandra.util import max_uuid_from_time, min_uuid_from_time, unix_time_from_uuid1

from repositories.batched import batched
from repositories.dump_port import Load, RecordKind
from repositories.errors import Contention
from repositories.feeds.cassandra.bucket_markers import Markers
from repositories.feeds.cassandra.moved_rows import MAKE, ONE, RANGES, TABLES, MovedRows, Unsure, token
from repositories.feeds.cassandra.moving_gate import ROLE, SLOTS, GatedLink
from repositories.feeds.cassandra.moving_mark import PlaceMark, overtaken
from repositories.feeds.cassandra.schema import CHANGES, GATED
from repositories.feeds.layout import Layout
from repositories.feeds.moved_records import KINDS, KeptTrim, compared, is_kept, removal
from repositories.feeds.retention import Retention
from repositories.moving.places import CLOSED, Changed, FrozenPlace, Key, Mark, OfKeys, Overtaken, StorePlace

LOWEST_TOKEN, HIGHEST_TOKEN = -(1 << 63), (1 << 63) - 1
# A range of tokens with fewer rows is followed by a wider one, a range with more rows by a narrower one.
FEW, MANY = 2_000, 20_000
BATCH = 500
# Notes are numbered by the clocks of several nodes, so a note may become visible later than younger ones.
LATE_SECONDS = 30.0
# By then a write that passed the gate before it was dropped has arrived. So has the change behind a note, which may be
# visible before it: a batch is atomic, but not isolated.
IN_FLIGHT_SECONDS = 0.15


class _NotedChange(NamedTuple):
    kind: str
    key: Key
    bucket: int | None
    stamp: int | None


class CassandraFeedsPlace(StorePlace):
    kinds: Sequence[RecordKind] = KINDS

    def __init__(self, link: GatedLink, keyspace: str, layout: Layout, retention: Retention) -> None:
        self._link = link
        self._keyspace = keyspace
        self._mark = PlaceMark(link, keyspace)
        self._retention = retention
        self._rows = MovedRows(layout, retention)
        self._markers = {
            "author timelines": Markers(link, layout.author),
            "home timelines": Markers(link, layout.home, retention),
            "notifications": Markers(link, layout.notifications, retention),
        }
        self._move = ""
        self._is_switching = False
        # The notes that are not forgotten, and the number of the first of them.
        self._notes: list[_NotedChange] = []
        self._first = 0
        self._known: set[UUID] = set()
        self._newest = 0.0
        link.reopen = self._reopen

    def key(self, kind: str, record: Any) -> Key:  # noqa: ARG002  each knows its own
        key: Key = record.key
        return key

    def compared(self, kind: str, record: Any) -> Any:  # noqa: ARG002  each knows its own
        return compared(record, self._retention)

    def mark(self) -> Mark | None:
        return self._mark.read()

    def open(self, epoch: int) -> None:
        """Until `tidy` the tables have no gates, so writers note what they write."""
        row = self._link.mark()
        if row and row[0] in CLOSED and row[1] <= epoch:
            self._mark.have_gates("moving_changes")
            # Otherwise somebody else has done so meanwhile.
            with contextlib.suppress(Overtaken):
                self._mark.put(Mark("open", epoch, "", row[3]), row)

    def is_empty(self) -> bool:
        return not any(self._mark.rows(f"SELECT * FROM {{}}.{table} LIMIT 1") for table in GATED)  # noqa: S608  ours

    def tidy(self, move: str = "") -> None:
        gates = (partial(self._mark.have_gates, table) for table in (*GATED, "moving_changes"))
        self._mark.tidied(move, (self._make_changes, *gates, self._forget_all))

    def capture(self, mark: Mark) -> None:
        self._make_changes()
        self._mark.take(mark, open_only=True)
        # Not sooner: until then the gate and the notes may be those of another move.
        self._mark.have_gates("moving_changes")
        self._forget_all()
        self._mark.drop_gates(*GATED)
        self._move = mark.move
        self._notes, self._first, self._known, self._newest = [], 0, set(), 0.0

    @contextlib.contextmanager
    def moment(self) -> Iterator[FrozenPlace]:
        mark = self.mark()
        leaving = mark is not None and mark.state == "leaving"
        if mark and leaving and mark.move != self._move:
            raise overtaken()
        if leaving and self._read_notes() and not self._is_switching:
            time.sleep(IN_FLIGHT_SECONDS)
        until = self._first + len(self._notes)
        changed: dict[str, set[Key]] = defaultdict(set)
        stamps: dict[tuple[str, Key], int] = {}
        for note in self._notes:
            changed[note.kind].add(note.key)
            if note.stamp is not None:
                stamps[note.kind, note.key] = max(note.stamp, stamps.get((note.kind, note.key), note.stamp))
        unsure = {kind: Unsure(self._rows.partition) for kind in RANGES}
        found: dict[tuple[str, Key], Any] = {}

        def of_keys(kind: str, keys: Sequence[Key]) -> list[Any]:
            """The records with these keys. Each is read once: later changes belong to the next moment."""
            missing = [key for key in keys if (kind, key) not in found]
            found.update(((kind, key), None) for key in missing)
            found.update(((kind, one.key), one) for one in self._of_keys(kind, missing, stamps))
            return [found[kind, key] for key in keys if found[kind, key] is not None]

        def records(kind: str) -> Iterator[Sequence[Any]]:
            return self._records(kind, unsure[kind], until, leaving=leaving) if kind in RANGES else iter(())

        yield FrozenPlace(records, of_keys, changed, range(self._first, until), unsure)

    def forget(self, moment: FrozenPlace) -> None:
        until = moment.notes[-1] + 1 if moment.notes else 0
        del self._notes[: max(0, until - self._first)]
        self._first = max(self._first, until)

    @contextlib.contextmanager
    def switching(self, mark: Mark) -> Iterator[None]:
        name = uuid4().hex
        own = (ROLE, self._move)
        if not self._mark.applied("SET closing = %s WHERE role = %s IF move = %s AND state = 'leaving'", (name, *own)):
            raise overtaken()
        try:
            self._mark.drop_gates("moving_changes")
            time.sleep(IN_FLIGHT_SECONDS)
            self._is_switching = True
            yield
            # If somebody has put a gate back, writes with it were not noted.
            self._mark.require_no_gates(*GATED, "moving_changes")
        except BaseException:
            self._reopen(name)
            raise
        finally:
            self._is_switching = False
        done = (mark.state, mark.epoch, mark.url, *own, name)
        if not self._mark.applied(
            "SET state = %s, epoch = %s, url = %s, closing = '' WHERE role = %s IF move = %s AND closing = %s", done
        ):
            raise Contention("the switch took too long")

    def release(self) -> None:
        if self._mark.applied(
            "SET state = 'open' WHERE role = %s IF move = %s AND state = 'leaving'", (ROLE, self._move)
        ):
            self.tidy(self._move)

    def receive(self, mark: Mark) -> None:
        self._mark.take(mark)
        self._make_changes()
        self._mark.drop_gates(*GATED, "moving_changes")
        self._move = mark.move
        if not self.is_empty():
            for table in TABLES:
                self._link.alter(f"TRUNCATE {self._keyspace}.{table}")

    @contextlib.contextmanager
    def loading(self) -> Iterator[Load]:
        yield self._merge

    def apply(self, changed: Changed, of_keys: OfKeys) -> None:
        for kind, keys in changed.items():
            self._merge(kind, of_keys(kind, list(keys)))

    def _merge(self, kind: str, records: Sequence[Any]) -> None:
        self._require_own()
        if kind in self._markers:
            self._markers[kind].ensure(self._rows.buckets(kind, records))
        for name, rows in self._rows.writes(kind, records):
            self._link.write_behind(name, rows)

    def _require_own(self) -> None:
        mark = self.mark()
        if mark is None or (mark.state, mark.move) != ("incoming", self._move):
            raise overtaken()

    def _records(self, kind: str, unsure: Unsure, since: int, *, leaving: bool) -> Iterator[Sequence[Any]]:
        """The records, by ranges of tokens.

        A key is `unsure` if it was noted after the moment began (at note `since`) and before its range was read.
        """
        batch: list[Any] = []
        low, width = LOWEST_TOKEN, (HIGHEST_TOKEN - LOWEST_TOKEN) >> 8
        while low < HIGHEST_TOKEN:
            high = min(low + width, HIGHEST_TOKEN)
            every = [MAKE[kind](*row) for row in self._mark.rows(RANGES[kind], (low, high))]
            if leaving:
                self._read_notes()
            for note in self._notes[max(0, since - self._first) :]:
                if note.kind == kind and low < self._rows.token(kind, note.key) <= high:
                    unsure.add(note.key)
                elif (note.kind, kind) == ("trims", "home timelines"):
                    partition = (note.key[0], note.bucket)
                    if low < token(*partition) <= high:
                        unsure.partitions.add(partition)
            batch += [one for one in every if one and is_kept(one, self._retention) and one.key not in unsure]
            low, width = high, width * 2 if len(every) < FEW else width // 2 if len(every) > MANY else width
            while len(batch) >= BATCH:
                yield batch[:BATCH]
                del batch[:BATCH]
        if batch:
            yield batch

    def _of_keys(self, kind: str, keys: Sequence[Key], stamps: dict[tuple[str, Key], int]) -> list[Any]:
        """The records with these keys. One that is gone becomes a removal, if the time of that was noted."""
        if kind == "trims":
            return [KeptTrim(key[0], stamps[kind, key]) for key in keys if (kind, key) in stamps]
        made: list[Any] = []
        for some in batched(keys, BATCH):
            calls = [(ONE[kind], self._rows.place(kind, key)) for key in some]
            for key, rows in zip(some, self._link.read(calls, self._link.deadline()), strict=True):
                one = MAKE[kind](*rows[0]) if rows else None
                stamp = stamps.get((kind, key))
                made += [one] if one else [] if stamp is None else [removal(kind, key, stamp)]
        return [one for one in made if is_kept(one, self._retention)]

    def _read_notes(self) -> bool:
        """Read the notes since the last call. Returns whether there were any."""
        since, before = min_uuid_from_time(max(self._newest - LATE_SECONDS, 0.0)), len(self._notes)
        for _, number, kind, ids, bucket, stamp in self._link.changes(since):
            if number not in self._known:
                self._known.add(number)
                self._newest = max(self._newest, unix_time_from_uuid1(number))
                self._notes.append(_NotedChange(kind, tuple(ids), bucket, stamp))
        return len(self._notes) > before

    def _make_changes(self) -> None:
        self._link.alter(CHANGES.format(keyspace=self._keyspace))

    def _forget_all(self) -> None:
        for slot in range(SLOTS):
            until = max_uuid_from_time(time.time() + LATE_SECONDS)
            self._mark.rows(
                "DELETE FROM {}.moving_changes WHERE slot = %s AND seq < %s", (slot, until), profile="write"
            )

    def _reopen(self, closing: str) -> None:
        """End a switch that failed, so that writers continue."""
        if self._mark.applied(
            "SET closing = '' WHERE role = %s IF closing = %s AND state = 'leaving'", (ROLE, closing)
        ):
            self._mark.have_gates("moving_changes")
