"""Anchors: files outside the database that record how far every ledger account and every product's stock had come.

An anchor is signed with a key that the database does not have. It has a line for each account, ordered by owner: `owner
currency entries posted last_at head holds holds_head`; then one for each product with stock, ordered by product:
`product_id receipts head`. The last line is the seal: JSON with the SHA-256 of the lines before it and the head of the
chain of orders' heads, then a dot and its signature. Entries, receipts and orders that an anchor covers cannot be
rewritten without contradicting it, even if all their hashes are made to fit (decision 24).
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

import itsdangerous
import msgspec
from msgspec import Struct

from app.events import LedgerAnchored
from app.services.commands.kit import Kit
from repositories.records.chain_heads import NO_PARTS, Head, PartsHead, StockHead
from repositories.records.money import Finding
from repositories.relational import RelationalStore

SUFFIX = ".anchor"
LAST_AUDIT = "last-audit.json"
_NAME = "%Y%m%dT%H%M%S.%fZ"
_MOST_FINDINGS = 100
# Sub-orders whose heads one transaction notes; commands that move these sub-orders wait for it.
_HEADS_PER_TRANSACTION = 500


class BadAnchor(Exception):
    """The file is not an anchor, or not as it was signed."""


class Altered(Exception):
    """The ledger was altered, so it is not anchored. `findings` are the first problems found."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        first = f"{findings[0].about}: {findings[0].problem}"
        super().__init__(f"the ledger is not anchored, because it was altered: {first}")
        self.findings = findings


class Seal(Struct, frozen=True):
    """`heads` is the SHA-256 of the lines before the seal, `previous` that of the previous seal, if there is one.

    `accounts` and `products` count the lines of each, `entries` the ledger entries covered. `parts` counts the noted
    heads of sub-orders; `parts_head` is the last digest of their chain. Anchors of earlier versions lack the last three
    members.
    """

    at: datetime
    accounts: int
    entries: int
    heads: str
    previous: str | None
    products: int = 0
    parts: int = 0
    parts_head: str = NO_PARTS.head.hex()


class Audited(Struct, frozen=True):
    """The result of the last audit."""

    at: datetime
    findings: int
    whole: bool


class Anchor(Struct, frozen=True):
    """A verified anchor."""

    path: Path
    seal: Seal
    signed: bytes

    def heads(self) -> Iterator[Head]:
        with self.path.open("rb") as lines:
            for line in islice(lines, self.seal.accounts):
                owner, currency, entries, posted, last_at, head, *held = line.decode().split()
                at = datetime.fromisoformat(last_at)
                holds = (int(held[0]), bytes.fromhex(held[1])) if held else ()
                yield Head(UUID(owner), currency, int(entries), int(posted), at, bytes.fromhex(head), *holds)

    def stock_heads(self) -> Iterator[StockHead]:
        with self.path.open("rb") as lines:
            for line in islice(lines, self.seal.accounts, self.seal.accounts + self.seal.products):
                product_id, receipts, head = line.decode().split()
                yield StockHead(UUID(product_id), int(receipts), bytes.fromhex(head))

    def parts_head(self) -> PartsHead:
        return PartsHead(self.seal.parts, bytes.fromhex(self.seal.parts_head))


class AnchorRules(Struct, frozen=True):
    """`secrets`: the first one signs, all verify. Without a `folder`, anchors are only written to a caller's file."""

    folder: Path | None
    every: timedelta
    secrets: Sequence[str]


class Anchors:
    def __init__(self, relational: RelationalStore, rules: AnchorRules, kit: Kit) -> None:
        self._relational = relational
        self._every = rules.every
        self._signer = itsdangerous.Signer(
            list(reversed(rules.secrets)), salt="ledger anchor", key_derivation="hmac", digest_method=hashlib.sha256
        )
        self._clock = relational.now
        self._ids = kit.ids
        self._pack = kit.emitter
        self.folder = rules.folder

    def is_due(self, now: datetime) -> bool:
        if self.folder is None:
            return False
        last = newest(self.folder)
        return last is None or now >= time_of(last) + self._every

    def last(self) -> Anchor | None:
        """The newest anchor of the folder. Raises `BadAnchor`."""
        path = newest(self.folder) if self.folder else None
        return None if path is None else self.read(path)

    def read(self, path: Path) -> Anchor:
        """Raises `BadAnchor`."""
        digest, last, count = hashlib.sha256(), b"", -1
        with path.open("rb") as lines:
            for line in lines:
                digest.update(last)
                last, count = line, count + 1
        try:
            signed = last.removesuffix(b"\n")
            seal = msgspec.json.decode(self._signer.unsign(signed), type=Seal)
        except (itsdangerous.BadSignature, msgspec.DecodeError) as error:
            raise BadAnchor(f"{path} is not signed with this key: {error}") from error
        if (seal.heads, seal.accounts + seal.products) != (digest.hexdigest(), count):
            raise BadAnchor(f"{path} is not as it was signed")
        return Anchor(path, seal, signed)

    def make(self) -> Anchor:
        """Write a new anchor into the folder, and emit its event. Raises `Altered`, `BadAnchor`."""
        if self.folder is None:
            raise BadAnchor("there is no folder for anchors")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.folder / f"{self._clock().strftime(_NAME)}{SUFFIX}"
        draft = path.with_suffix(f".{os.getpid()}")
        try:
            with draft.open("xb") as out:
                self.write(out, self.last())
                out.flush()
                os.fsync(out.fileno())
            draft.rename(path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                draft.unlink()
        return self.read(path)

    def write(self, out: BinaryIO, before: Anchor | None) -> Seal:
        """Write the lines, and the seal if everything since `before` is in order. Otherwise raises `Altered`."""
        digest, accounts, products, entries, wrong = hashlib.sha256(), 0, 0, 0, list[Finding]()
        known = (before.heads(), before.stock_heads(), before.parts_head()) if before else ((),)
        for one in self._relational.audit.advance(*known):
            if isinstance(one, Finding):
                wrong.append(one)
                if len(wrong) == _MOST_FINDINGS:
                    break
                continue
            if isinstance(one, StockHead):
                products += 1
            else:
                accounts, entries = accounts + 1, entries + one.entries
            line = _line(one)
            digest.update(line)
            out.write(line)
        if wrong:
            raise Altered(wrong)
        previous = hashlib.sha256(before.signed).hexdigest() if before else None
        parts = self.note_heads()
        of_parts = (parts.count, parts.head.hex())
        seal = Seal(self._clock(), accounts, entries, digest.hexdigest(), previous, products, *of_parts)
        signed = self._signer.sign(msgspec.json.encode(seal))
        out.write(signed + b"\n")
        with self._relational.transaction() as tx:
            tx.emit(self._pack(LedgerAnchored(self._ids(), signed.decode()), at=tx.now()))
        return seal

    def note_heads(self) -> PartsHead:
        """Note the heads of all orders that have moved. They were audited just before, so the chain has no bad ones."""
        while True:
            with self._relational.transaction() as tx:
                count, end = tx.orders.note_heads(limit=_HEADS_PER_TRANSACTION)
            if count < _HEADS_PER_TRANSACTION:
                return end

    def known(self) -> tuple[datetime | None, tuple[datetime, int] | None]:
        """The time of the newest anchor of the folder; the time of the last noted audit and its number of findings."""
        if self.folder is None:
            return None, None
        anchor, audited = newest(self.folder), last_audit(self.folder)
        return time_of(anchor) if anchor else None, (audited.at, audited.findings) if audited else None

    def note(self, found: int, *, whole: bool) -> None:
        """Store the number of an audit's findings, for metrics."""
        if self.folder is not None:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = self.folder / f"{LAST_AUDIT}.{os.getpid()}"
            draft.write_bytes(msgspec.json.encode(Audited(self._clock(), found, whole)))
            draft.rename(self.folder / LAST_AUDIT)


def _line(head: Head | StockHead) -> bytes:
    """The line of an anchor for this head."""
    if isinstance(head, StockHead):
        return f"{head.product_id} {head.receipts} {head.head.hex()}\n".encode()
    posted = f"{head.entries} {head.posted} {head.last_at.isoformat()} {head.head.hex()}"
    return f"{head.owner} {head.currency} {posted} {head.holds} {head.holds_head.hex()}\n".encode()


def newest(folder: Path) -> Path | None:
    return max(folder.glob(f"*{SUFFIX}"), default=None)


def time_of(anchor: Path) -> datetime:
    return datetime.strptime(f"{anchor.name.removesuffix(SUFFIX)}+0000", f"{_NAME}%z")


def last_audit(folder: Path) -> Audited | None:
    try:
        return msgspec.json.decode((folder / LAST_AUDIT).read_bytes(), type=Audited)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
