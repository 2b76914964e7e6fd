"""Sessions in Redis as a place of a move. Every write is a script that checks the mark first, so that none comes after
the switch, however long ago its process last read the mark.

Redis has no snapshots. Records that change while a moment is read are left out of it and reported as `unsure`.
"""

import contextlib
import re
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from repositories.batched import batched
from repositories.dump_port import Load, RecordKind
from repositories.errors import Contention, MovedAway, Unavailable
from repositories.hot.moved_sessions import KINDS, KeptSeen, compared, kept, key_of, seconds_left
from repositories.hot.redis import moving_scripts as scripts
from repositories.hot.redis.key_names import names_of
from repositories.hot.redis.link import RedisLink
from repositories.hot.redis.wire import Command
from repositories.moving.places import Changed, FrozenPlace, Key, Mark, OfKeys, Overtaken, StorePlace

BATCH: Final = 500
_REPLICAS_MS: Final = 500


class RedisSessionsPlace(StorePlace):
    kinds: Sequence[RecordKind] = KINDS

    def __init__(self, link: RedisLink, clock: Callable[[], datetime]) -> None:
        self._link = link
        self._clock = clock
        self._own = ""

    def key(self, kind: str, record: Any) -> Key:
        return key_of(kind, record)

    def compared(self, kind: str, record: Any) -> Any:
        return compared(kind, record, self._clock())

    def mark(self) -> Mark | None:
        [raw] = self._link.exchange(("GET", scripts.MARK), again=True)
        if raw is None:
            return None
        state, epoch, move, url = raw.decode().split(" ", 3)
        return Mark(state, int(epoch), url, move)

    def open(self, epoch: int) -> None:
        self._run((scripts.OPEN, epoch))
        self._await_replicas()

    def is_empty(self) -> bool:
        return not any(True for _ in self._names(scripts.SESSION))

    def tidy(self, move: str = "") -> None:
        self._run((scripts.TIDY, move))

    def capture(self, mark: Mark) -> None:
        self._own = _text(mark)
        self._run((scripts.CAPTURE, self._own))

    @contextlib.contextmanager
    def moment(self) -> Iterator[FrozenPlace]:
        found = self.mark()
        taken: list[Any] = [(), ()]
        if found and found.state == "leaving":
            taken = self._run(*((scripts.TAKE, self._own, kind) for kind in scripts.KINDS))
        changed = {kind: {_key(kind, one) for one in some} for kind, some in zip(scripts.KINDS, taken, strict=True)}
        unsure: dict[str, set[Key]] = defaultdict(set)
        # Each key is read once: later changes belong to the next moment.
        read: dict[tuple[str, tuple[Key, ...]], list[Any]] = {}

        def of_keys(kind: str, keys: Sequence[Key]) -> list[Any]:
            asked = kind, tuple(sorted(keys))
            if asked not in read:
                read[asked] = self._of_keys(kind, keys)
            return read[asked]

        yield FrozenPlace(lambda kind: self._records(kind, unsure[kind]), of_keys, changed, unsure=unsure)

    def forget(self, moment: FrozenPlace) -> None:  # noqa: ARG002  only what was taken for it is there
        self._link.exchange(("DEL", *(f"{scripts.TAKEN}{kind}" for kind in scripts.KINDS)), again=True)

    @contextlib.contextmanager
    def switching(self, mark: Mark) -> Iterator[None]:
        token = secrets.token_hex(8)
        if self._run((scripts.PAUSE, self._own, token)) == [0]:
            raise Contention("another switch is under way")
        try:
            yield
        except BaseException:
            with contextlib.suppress(Overtaken):
                self._run((scripts.GO_ON, self._own, token, ""))
            raise
        if self._run((scripts.GO_ON, self._own, token, _text(mark))) == [0]:
            raise Contention("the switch took too long")
        self._await_replicas()

    def release(self) -> None:
        _, epoch, move, _ = self._own.split(" ", 3)
        self._run((scripts.RELEASE, self._own, f"open {epoch} {move} "))

    def receive(self, mark: Mark) -> None:
        self._own = _text(mark)
        self._link.exchange(("SET", scripts.MARK, self._own), again=True)
        for prefix in (scripts.SESSION, scripts.ACCOUNT, scripts.SEEN):
            for names in self._names(prefix):
                self._link.exchange(("UNLINK", *names), again=True)

    @contextlib.contextmanager
    def loading(self) -> Iterator[Load]:
        yield self._load

    def apply(self, changed: Changed, of_keys: OfKeys) -> None:
        for kind, keys in changed.items():
            records = of_keys(kind, list(keys))
            gone = set(keys) - {key_of(kind, one) for one in records}
            self._load(kind, records)
            for some in batched(sorted(gone), BATCH):
                self._run(
                    *(
                        (scripts.REMOVE, self._own, *key) if kind == "sessions" else (scripts.SEE, self._own, *key, "")
                        for key in some
                    )
                )

    def _load(self, kind: str, records: Sequence[Any]) -> None:
        for some in batched(records, BATCH):
            self._run(*(self._loaded(kind, one) for one in some))

    def _loaded(self, kind: str, one: Any) -> tuple[str | int, ...]:
        if kind == "seen":
            return scripts.SEE, self._own, str(one.account_id), one.store, one.position
        life = int(seconds_left(one, self._clock()) * 1000)
        return scripts.LOAD, self._own, str(one.account_id), str(one.id), one.digest, one.record, life

    def _records(self, kind: str, unsure: set[Key]) -> Iterator[Sequence[Any]]:
        """The records in the order of names. Those changed since the moment began are left out, and in `unsure`."""
        prefix = scripts.KINDS[kind]
        every = sorted({name.removeprefix(prefix.encode()).decode() for names in self._names(prefix) for name in names})
        low = ""
        for some in batched(every, BATCH):
            found, late = self._read(kind, some), self._late(kind)
            unsure.update(key for key in late if low < key[0] <= some[-1])
            low = some[-1]
            yield [one for one in found if key_of(kind, one) not in late]
        unsure.update(key for key in self._late(kind) if low < key[0])

    def _late(self, kind: str) -> set[Key]:
        """The keys that have changed since the moment began."""
        [raw] = self._link.exchange(("SMEMBERS", f"{scripts.CHANGED}{kind}"), again=True)
        return {_key(kind, one) for one in raw}

    def _of_keys(self, kind: str, keys: Sequence[Key]) -> list[Any]:
        wanted = set(keys)
        return [
            one
            for some in batched(sorted({key[0] for key in keys}), BATCH)
            for one in self._read(kind, some)
            if key_of(kind, one) in wanted
        ]

    def _read(self, kind: str, names: Sequence[str]) -> list[Any]:
        if kind == "sessions":
            [raw] = self._link.exchange(("MGET", *(scripts.SESSION + name for name in names)), again=True)
            read = (kept(name, record) for name, record in zip(names, raw, strict=True) if record is not None)
            return [one for one in read if one]
        hashes = self._link.exchange(*(("HGETALL", scripts.SEEN + name) for name in names), again=True)
        return [
            KeptSeen(UUID(name), store.decode(), position.decode())
            for name, pairs in zip(names, hashes, strict=True)
            for store, position in zip(pairs[::2], pairs[1::2], strict=True)
        ]

    def _names(self, prefix: str) -> Iterator[list[bytes]]:
        return names_of(self._link, prefix, count=2 * BATCH)

    def _run(self, *calls: tuple[str | int, ...]) -> list[Any]:
        """Run scripts, each given with its arguments; all may run twice. Raises `Overtaken`."""
        commands: list[Command] = [("EVALSHA", scripts.SHA[str(script)], 0, *rest) for script, *rest in calls]
        if not commands:
            return []
        try:
            return self._link.exchange(*commands, again=True)
        except Unavailable as error:
            found = refusal(error)
            raise _overtaken() if isinstance(found, MovedAway) else found from error

    def _await_replicas(self) -> None:
        """Wait for the replicas: a mark that they lack is lost with the master."""
        [about] = self._link.exchange(("INFO", "replication"), again=True)
        replicas = re.search(rb"connected_slaves:(\d+)", about)
        if replicas and int(replicas[1]):
            # WAIT covers what was written before the last command on its own connection, so a PING comes first: the
            # mark may have been written on another connection.
            self._link.exchange(("PING",), ("WAIT", int(replicas[1]), _REPLICAS_MS), again=True)


def refusal(error: Unavailable) -> Exception:
    """The error that a script's refusal stands for."""
    text = str(error.__cause__)
    if scripts.HAS_MOVED in text:
        return MovedAway("sessions", "this role has moved to another place")
    if scripts.OVERTAKEN in text:
        return _overtaken()
    return error


def _overtaken() -> Overtaken:
    return Overtaken("another move of sessions has begun or ended meanwhile")


def _text(mark: Mark) -> str:
    return f"{mark.state} {mark.epoch} {mark.move} {mark.url}"


def _key(kind: str, noted: bytes) -> Key:
    return (noted.decode(),) if kind == "sessions" else tuple(noted.decode().split(" ", 1))
