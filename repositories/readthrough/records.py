"""Typed reads over the cache: records of one kind, kept as JSON."""

from collections.abc import Callable, Collection, Mapping
from typing import Generic, TypeVar

import msgspec

from repositories.hot import Value
from repositories.readthrough.kinds import Kind, schema_of
from repositories.readthrough.through import ReadThrough
from repositories.readthrough.used import Used

K = TypeVar("K")
T = TypeVar("T")


class Records(Generic[K, T]):
    """`load` gives what the source has of some ids, in one round trip. For the seconds see `Kind`.

    `encode` writes a record as whoever reads the bytes wants it: any JSON that has the record's fields, times in RFC
    3339. `note` gives the note of its value.
    """

    def __init__(
        self,
        through: ReadThrough,
        name: str,
        record: type[T],
        load: Callable[[Collection[K]], Mapping[K, T]],
        *,
        fresh: float,
        stale: float = 10.0,
        absent: float = 0.0,
        encode: Callable[[T], bytes] = msgspec.json.encode,
        note: Callable[[T], bytes] = lambda _: b"",
    ) -> None:
        self._through = through
        self._decoder = msgspec.json.Decoder(record)
        self._encode = encode
        self._note = note
        self._load = load
        self.kind: Kind[K] = Kind(name, schema_of(record), self._loaded, fresh, stale, absent)

    def get(self, ids: Collection[K], used: Used | None = None) -> dict[K, T]:
        """What there is of them. One cache read when all is there; see `ReadThrough.wave`."""
        return self.decoded(self._through.get(self.kind, ids, used))

    def decoded(self, values: Mapping[K, Value]) -> dict[K, T]:
        """The records of values of this kind, as a wave over several kinds gives them."""
        found: dict[K, T] = {}
        unreadable: list[K] = []
        for about, value in values.items():
            try:
                found[about] = self._decoder.decode(value.body or b"")
            except msgspec.DecodeError:
                unreadable.append(about)
        return {**found, **self._from_source(unreadable)} if unreadable else found

    def drop(self, ids: Collection[K]) -> None:
        """From its return on no reader gets an older value. Raises `Unavailable`."""
        self._through.drop({self.kind: ids})

    def forget(self, ids: Collection[K]) -> None:
        """`drop` after a write that is done and must not fail for the cache: the write's event drops once more."""
        self._through.forget({self.kind: ids})

    def write(self, about: K, write: Callable[[], T]) -> T:
        """Write-through; see `ReadThrough.write`."""
        written: list[T] = []

        def once() -> Value:
            written.append(write())
            return self._value(written[0])

        self._through.write(self.kind, about, once)
        return written[0]

    def _from_source(self, unreadable: list[K]) -> Mapping[K, T]:
        """What was damaged is dropped, so that the next reader may fill it anew."""
        self.forget(unreadable)
        return self._load(unreadable)

    def _loaded(self, ids: Collection[K]) -> dict[K, Value]:
        return {about: self._value(record) for about, record in self._load(ids).items()}

    def _value(self, record: T) -> Value:
        return Value(self._encode(record), getattr(record, "version", 0), note=self._note(record))
