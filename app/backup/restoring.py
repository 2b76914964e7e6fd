"""Restores a backup: checks the whole file first, then loads it, then compares the stores with it."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from app.backup.dumping import dumps, frozen, sections
from app.backup.file import BadFile, Digest, End, Header, Reader, encoded
from app.backup.progress import KindRates
from app.stores import Stores
from repositories.batched import batched
from repositories.dump_port import Load
from repositories.relational.migrations import head

BATCH = 5_000


class NotEmpty(Exception):
    """The stores are not empty."""


def checked(path: Path, stores: Stores) -> tuple[Header, list[End]]:
    """Check a file, and return its header, and count and digest of each kind.

    Raises `BadFile` unless it is whole and of this version's schema.
    """
    reader = Reader(path)
    header, ends = reader.header, list[End]()
    if header.revision != head() or header.sections != sections(stores):
        raise BadFile(
            f"it is of Quartet {header.version} with schema {header.revision}, and this one has {head()}:"
            " restore it with that version, then migrate"
        )
    for section, lines in reader.sections():
        digest = Digest(section.kind)
        for line in lines:
            digest.add(line)
        ends.append(digest.end())
    return header, ends


def refuse_unless_empty(stores: Stores, *, again: bool) -> None:
    """Raise `NotEmpty` unless the stores are empty. With `again`, there may be documents of an interrupted restore.

    The relational store must be empty even then: it is loaded last, in one transaction.
    """
    if not stores.relational.dump.is_empty():
        raise NotEmpty("the relational store is not empty, and a backup goes into empty stores only")
    if not again and not stores.documents.dump.is_empty():
        raise NotEmpty(
            "the documents are not empty, and a backup goes into empty stores only;"
            " if a restore of this file was cut off, run it again with --again"
        )


def load(path: Path, stores: Stores, ends: Sequence[End], rates: KindRates) -> None:
    """Load a file that was `checked`. Documents come first, so rows in the relational store mean that all is loaded."""
    every, of_role = dumps(stores), {end.kind: end for end in ends}
    reader = Reader(path)
    found = reader.sections()
    for role, dump in every.items():
        types = {kind.name: kind.record for kind in dump.kinds}
        with dump.loading() as put:
            for section, lines in islice(found, len(types)):
                _put(put, section.kind, rates.counted(section.kind, _batches(lines, types[section.kind])))
                rates.ended(role, of_role[section.kind])
            if role == tuple(every)[-1]:
                # Read to the end of the file, which verifies it, before the commit.
                for _ in found:
                    raise BadFile("it was altered")
    stores.cache.void()


def differences(stores: Stores, ends: Sequence[End]) -> Iterator[str]:
    """Compare what the stores hold with the file, kind by kind."""
    of_kind = {end.kind: end for end in ends}
    with frozen(stores) as (header, held):
        for section in header.sections:
            digest = Digest(section.kind)
            for batch in held[section.role].records(section.kind):
                for record in batch:
                    digest.add(encoded(record))
            mine, theirs = digest.end(), of_kind[section.kind]
            if mine != theirs:
                counts = f"{mine.records:,} records, {theirs.records:,} in the file"
                yield f"{section.kind}: {counts}" + (", not the same" if mine.records == theirs.records else "")


def _put(put: Load, kind: str, batches: Iterator[Sequence[Any]]) -> None:
    for batch in batches:
        put(kind, batch)


def _batches(lines: Iterator[bytes], record: Any) -> Iterator[Sequence[Any]]:
    decode = msgspec.json.Decoder(record).decode
    return ([decode(line) for line in some] for some in batched(lines, BATCH))
