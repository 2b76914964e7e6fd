"""Conversion of parameters, and of the values in rows, on the connections of `PostgresDatabase`.

PostgreSQL's text cannot hold NUL. So it is sent as two characters of code 1, and a character of code 1 as 1 and 2. This
keeps the order by code points, so text is compared and sorted as it was.
"""

import re

import psycopg
from psycopg.abc import Buffer
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper
from psycopg.types.string import StrBinaryDumper, StrDumperUnknown, TextBinaryLoader, TextLoader

_ESCAPED = re.compile("\1([\1\2])")


class _TextDumper(StrDumperUnknown):
    def dump(self, obj: str) -> Buffer | None:
        return super().dump(escaped(obj))


class _BinaryTextDumper(StrBinaryDumper):
    def dump(self, obj: str) -> Buffer | None:
        return super().dump(escaped(obj))


class _TextLoader(TextLoader):
    def load(self, data: Buffer) -> str | bytes:
        return _loaded(super().load(data))


class _BinaryTextLoader(TextBinaryLoader):
    def load(self, data: Buffer) -> str | bytes:
        return _loaded(super().load(data))


def adapt(connection: psycopg.Connection, _entry: object) -> None:
    adapters = connection.adapters
    # By default psycopg sends the smallest integer type that holds a value, and prepares each combination by itself.
    for integer in (Int8Dumper, Int8BinaryDumper):
        adapters.register_dumper(int, integer)
    for dumper in (_BinaryTextDumper, _TextDumper):
        adapters.register_dumper(str, dumper)
    for loader in (_TextLoader, _BinaryTextLoader):
        adapters.register_loader("text", loader)


def escaped(text: str) -> str:
    if "\0" in text or "\1" in text:
        return text.replace("\1", "\1\2").replace("\0", "\1\1")
    return text


def unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: "\0" if found[1] == "\1" else "\1", text) if "\1" in text else text


def _loaded(value: str | bytes) -> str | bytes:
    return unescaped(value) if isinstance(value, str) else value
