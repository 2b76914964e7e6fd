"""Writes a backup: takes snapshots of both stores right after one another, and reads them in batches."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from importlib.metadata import version
from pathlib import Path

from app.backup.file import FORMAT, BadFile, Header, Section, Writer, writing
from app.backup.progress import KindRates
from app.stores import Stores
from repositories.dump_port import Dump, Frozen
from repositories.relational.migrations import head

# MongoDB keeps a snapshot for some minutes only, so documents are read first.
ROLES = ("documents", "relational")


def dumps(stores: Stores) -> dict[str, Dump]:
    return {"documents": stores.documents.dump, "relational": stores.relational.dump}


def sections(stores: Stores) -> tuple[Section, ...]:
    return tuple(Section(role, kind.name, kind.members) for role, dump in dumps(stores).items() for kind in dump.kinds)


def write(stores: Stores, path: Path, rates: KindRates) -> Header:
    """Write a backup and return its header. Raises `BadFile` if `path` exists, and `OSError`.

    After an error no file is left.
    """
    if path.exists():
        raise BadFile("it exists already")
    with _renamed_when_complete(path) as part, frozen(stores) as (header, stores_frozen), writing(part) as out:
        writer = Writer(out, header)
        for section in header.sections:
            digest = writer.start(section.kind)
            for batch in rates.counted(section.kind, stores_frozen[section.role].records(section.kind)):
                writer.records(digest, batch)
            rates.ended(section.role, writer.end(digest))
        writer.whole()
    return header


@contextmanager
def frozen(stores: Stores) -> Iterator[tuple[Header, dict[str, Frozen]]]:
    """Take both snapshots, the relational one first: its outbox has what was not dispatched to the documents yet."""
    began = time.monotonic()
    with stores.relational.dump.snapshot() as relational, stores.documents.dump.snapshot() as documents:
        within = round(time.monotonic() - began, 6)
        at = (relational.at or stores.relational.now()).astimezone(UTC)
        header = Header(FORMAT, version("quartet"), head(), at, within, sections(stores))
        yield header, {"documents": documents, "relational": relational}


@contextmanager
def _renamed_when_complete(path: Path) -> Iterator[Path]:
    """A temporary file next to `path`, with mode 0600, that is renamed to `path` if the block ends without an error."""
    number, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        yield Path(name)
        os.fsync(number)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise
    finally:
        os.close(number)
