"""Accounts as everybody sees them, out of the cache: by id, and by handle.

Cache-aside for readers, write-through for the account itself. A handle is a part of its own, which names an account:
whoever changes a handle drops the old name and the new one.
"""

from collections.abc import Callable, Collection
from uuid import UUID

from app.services.pages.fragments import account_part
from app.services.pages.memo import Known
from repositories.hot import Value
from repositories.readthrough import Kind, ReadThrough, Records, Used, Wanted
from repositories.records import Account
from repositories.relational import Relational

ABSENT_SECONDS = 5.0


class Profiles:
    def __init__(self, relational: Relational, through: ReadThrough, fresh: float) -> None:
        self._relational = relational
        self._through = through
        self._records: Records[UUID, Account] = Records(
            through, "account", Account, relational.accounts.get, fresh=fresh, encode=account_part
        )
        self.kind = self._records.kind
        self.handles: Kind[str] = Kind("handle", "1", self._load_handles, fresh, absent=ABSENT_SECONDS)
        self._ids: Known[str, UUID] = Known()

    def guess(self, handle: str) -> UUID | None:
        """Whose the handle was when this process last saw it. To be asked for together with the handle itself."""
        return self._ids.get(name_of(handle))

    def named(self, handle: str, value: Value | None) -> UUID | None:
        """Whose the handle is, by what the cache or the source has of it."""
        if value is None:
            return None
        found = UUID(bytes=value.note)
        self._ids.note(name_of(handle), found)
        return found

    def id_of(self, handle: str, used: Used | None = None) -> UUID | None:
        name = name_of(handle)
        return self.named(name, self._through.get(self.handles, [name], used).get(name))

    def write(self, account_id: UUID, write: Callable[[], Account]) -> Account:
        """Write-through; `write` changes the source and returns the new account."""
        return self._records.write(account_id, write)

    def changed(self, account_id: UUID, handles: Collection[str]) -> Wanted:
        """What a change of the account makes old, with its handle before and after."""
        return {self.kind: [account_id], **self.named_by(handles)}

    def named_by(self, handles: Collection[str]) -> Wanted:
        return {self.handles: {name_of(handle) for handle in handles}}

    def _load_handles(self, handles: Collection[str]) -> dict[str, Value]:
        """One at a time is asked for, so one statement."""
        found = {handle: self._relational.accounts.by_handle(handle) for handle in handles}
        return {handle: Value(b"{}", note=one.id.bytes) for handle, one in found.items() if one}


def name_of(handle: str) -> str:
    """Handles are compared without ASCII case, and hold nothing but ASCII."""
    return handle.lower() if handle.isascii() else handle
