"""A file that is truncated, altered or from another version is refused with one line, before anything is written."""

import hashlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.backup.dumping import dumps
from app.container import Container
from config import Settings
from tests.apps import embedded, running
from tests.system.backup.conftest import Backup, quartet

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Fault = Callable[[bytes], bytes]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], Container]]:
    urls = embedded(tmp_path_factory.mktemp("empty"))
    with running(Settings(**urls)) as system:
        yield urls, system.container


def repacked(change: Callable[[list[bytes]], list[bytes]]) -> Fault:
    """Change the lines within a valid zstd stream."""
    return lambda file: zstd.compress(b"".join(change(zstd.decompress(file).splitlines(keepends=True))))


def sealed(lines: list[bytes]) -> list[bytes]:
    """The lines, with their correct digest in the last one."""
    last = msgspec.json.decode(lines[-1]) | {"digest": hashlib.sha256(b"".join(lines[:-1])).hexdigest()}
    return [*lines[:-1], msgspec.json.encode(last) + b"\n"]


def with_header(**changes: Any) -> Fault:
    return repacked(
        lambda lines: sealed([msgspec.json.encode(msgspec.json.decode(lines[0]) | changes) + b"\n", *lines[1:]])
    )


def without_a_record(lines: list[bytes]) -> list[bytes]:
    at = next(at for at, line in enumerate(lines) if line.startswith(b"["))
    return sealed(lines[:at] + lines[at + 1 :])


def altered(lines: list[bytes]) -> list[bytes]:
    """Alter a balance, and correct the digest at the end of the file, but not the one at the end of the kind."""
    at = lines.index(b'{"line":"start","kind":"ledger_accounts"}\n') + 1
    return sealed([*lines[:at], lines[at].replace(b"0", b"9", 1), *lines[at + 1 :]])


CUT, ALTERED, NONE = "cut off", "altered", "no backup of Quartet"
FAULTS: dict[str, tuple[Fault, str]] = {
    "nothing": (lambda _file: b"", CUT),
    "its half": (lambda file: file[: len(file) // 2], CUT),
    "all but a byte": (lambda file: file[:-1], CUT),
    "another byte": (lambda file: bytes([*file[:5000], file[5000] ^ 1, *file[5001:]]), ""),
    "something behind it": (lambda file: file + zstd.compress(b"more\n"), "behind its end"),
    "rubbish behind it": (lambda file: file + b"more", ""),
    "no end": (repacked(lambda lines: lines[:-1]), CUT),
    "half a line": (repacked(lambda lines: [*lines[:40], lines[40][:9]]), CUT),
    "a record less": (repacked(without_a_record), ALTERED),
    "two records in another order": (
        repacked(lambda lines: sealed([*lines[:2], lines[3], lines[2], *lines[4:]])),
        ALTERED,
    ),
    "another balance": (repacked(altered), ALTERED),
    "another last digest": (repacked(lambda lines: [*lines[:-1], lines[-1].replace(b"digest", b"digits")]), ALTERED),
    "a text": (lambda _file: b"a text\n", NONE),
    "a text in zstd": (lambda _file: zstd.compress(b"a text\n"), NONE),
    "a list": (lambda _file: zstd.compress(b"[1]\n"), NONE),
    "a newer format": (with_header(format="quartet dump 2"), "'quartet dump 2'"),
    "a newer schema": (with_header(revision="9999", version="99.0"), "Quartet 99.0 with schema 9999"),
    "a header that lacks something": (repacked(lambda lines: [b'{"format":"quartet dump 1"}\n', *lines[1:]]), NONE),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_file_is_refused_with_one_line(
    backup: Backup, empty: tuple[dict[str, Any], Container], tmp_path: Path, fault: str
) -> None:
    (urls, container), (change, said) = empty, FAULTS[fault]
    path = tmp_path / "bad.dump"
    path.write_bytes(change(backup.path.read_bytes()))
    done = quartet(urls, "restore", str(path))
    assert done.exit_code == 1, done.output
    assert done.output.startswith(f"Error: {path}: ")
    assert len(done.output.splitlines()) == 1
    assert said in done.output
    assert all(one.is_empty() for one in dumps(container.stores).values())


def test_a_file_that_is_not_there_or_cannot_be_written_is_one_line(
    empty: tuple[dict[str, Any], Container], tmp_path: Path
) -> None:
    path = tmp_path / "none" / "a.dump"
    for command in ("restore", "dump"):
        done = quartet(empty[0], command, str(path))
        assert (done.exit_code, done.output) == (1, f"Error: {path}: No such file or directory\n")


def test_a_store_that_fails_leaves_no_file(
    empty: tuple[dict[str, Any], Container], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("app.backup.file.Writer.whole", failing)
    path = tmp_path / "a.dump"
    done = quartet(empty[0], "dump", str(path))
    assert done.exit_code == 1
    assert done.output.endswith(f"Error: {path}: No space left on device\n")
    assert list(tmp_path.iterdir()) == []
