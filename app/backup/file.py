"""The format of a backup: JSON lines in one zstd stream.

The first line is the header. Each kind of record starts with a line that names it and ends with a line that has the
number and the digest of its records. Each record is an array on one line. The last line has the number of all records
and the digest of all lines before it, so that truncation and alteration are detected. Digests are SHA-256 in
hexadecimal.
"""

import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FORMAT = "quartet dump 1"
LEVEL = 3
Decoded = Callable[[str, bytes], Any]


class BadFile(Exception):
    """The file is no backup, is incomplete or altered, or is of another version."""


class Section(Struct, frozen=True):
    """One kind of record of one role. `members` names the elements of its arrays, in order."""

    role: str
    kind: str
    members: tuple[str, ...]


class Header(Struct, frozen=True):
    """`at` is the time of the backup by the relational store's clock. Both snapshots were taken within `within` seconds
    of it. `revision` is the revision of the schema.
    """

    format: str
    version: str
    revision: str
    at: datetime
    within: float
    sections: tuple[Section, ...]


class Start(Struct, frozen=True, tag_field="line", tag="start"):
    kind: str


class End(Struct, frozen=True, tag_field="line", tag="end"):
    kind: str
    records: int
    digest: str


class Trailer(Struct, frozen=True, tag_field="line", tag="whole"):
    records: int
    digest: str


class Digest:
    """The count and the digest of the records of one kind, which depends on their order."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.records = 0
        self._hash = hashlib.sha256()

    def add(self, line: bytes) -> None:
        self.records += 1
        self._hash.update(line)

    def end(self) -> End:
        return End(self.kind, self.records, self._hash.hexdigest())


def encoded(record: Any) -> bytes:
    return msgspec.json.encode(record) + b"\n"


class Writer:
    def __init__(self, out: zstd.ZstdFile, header: Header) -> None:
        self._out = out
        self._hash = hashlib.sha256()
        self._records = 0
        self._put(encoded(header))

    def start(self, kind: str) -> Digest:
        self._put(encoded(Start(kind)))
        return Digest(kind)

    def records(self, digest: Digest, batch: Sequence[Any]) -> None:
        for record in batch:
            line = encoded(record)
            digest.add(line)
            self._put(line)

    def end(self, digest: Digest) -> End:
        end = digest.end()
        self._put(encoded(end))
        self._records += end.records
        return end

    def whole(self) -> None:
        self._put(encoded(Trailer(self._records, self._hash.hexdigest())))

    def _put(self, line: bytes) -> None:
        self._hash.update(line)
        self._out.write(line)


def writing(path: Path) -> zstd.ZstdFile:
    """Open a compressed file for writing. Raises `OSError`."""
    return zstd.open(path, "wb", level=LEVEL)


class Reader:
    """Reads a file once, from its start. Every method and iterator may raise `BadFile` and `OSError`."""

    def __init__(self, path: Path) -> None:
        self._lines = _lines(path)
        self._hash = hashlib.sha256()
        self.header = self._header()

    def sections(self) -> Iterator[tuple[Section, Iterator[bytes]]]:
        """Yield each kind with its lines, which must be read to their end. Completes only if the file is whole."""
        records = 0
        for section in self.header.sections:
            self._expect(Start(section.kind))
            digest = Digest(section.kind)
            yield section, self._records(digest)
            records += digest.records
        self._expect(Trailer(records, self._hash.hexdigest()))
        for _ in self._lines:
            raise BadFile("there is something behind its end")

    def _records(self, digest: Digest) -> Iterator[bytes]:
        while (line := self._next()).startswith(b"["):
            digest.add(line)
            yield line
        if line != encoded(digest.end()):
            raise BadFile(f"the {digest.kind} are not those that were written: it was altered or cut off")

    def _expect(self, line: Start | Trailer) -> None:
        if self._next() != encoded(line):
            raise BadFile("it was altered or cut off")

    def _next(self) -> bytes:
        line = next(self._lines, b"")
        if not line.endswith(b"\n"):
            raise BadFile("it was cut off")
        self._hash.update(line)
        return line

    def _header(self) -> Header:
        line = self._next()
        try:
            found = msgspec.json.decode(line, type=dict[str, Any]).get("format")
            if found != FORMAT:
                raise BadFile(f"its format is {found!r}, and this version of Quartet reads {FORMAT!r}")
            return msgspec.json.decode(line, type=Header)
        except msgspec.DecodeError as error:
            raise BadFile("it is no backup of Quartet") from error


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with zstd.open(path, "rb") as lines:
            yield from lines
    except EOFError as error:
        raise BadFile("it was cut off") from error
    except zstd.ZstdError as error:
        raise BadFile("it is no backup of Quartet, or was altered") from error
