"""Finds the account that has a handle, through the cache.

The cached value is the id of the account. A change of a handle drops the old name and the new one.
"""

from uuid import UUID

from app.services.pages.kinds import Kinds, Used
from app.services.pages.memo import Memo
from app.services.pages.read_through import ReadThrough
from repositories.hot import Value


class Handles:
    def __init__(self, through: ReadThrough, kinds: Kinds) -> None:
        self._through = through
        self._kinds = kinds
        self._ids: Memo[str, UUID] = Memo()

    def guess(self, handle: str) -> UUID | None:
        """The account that had the handle when this process last saw it: to be read along with the handle itself."""
        return self._ids.get(name_of(handle))

    def named(self, handle: str, value: Value | None) -> UUID | None:
        """The account that has the handle, by the value that was read for it."""
        if value is None:
            return None
        found = UUID(bytes=value.note)
        self._ids.note(name_of(handle), found)
        return found

    def id_of(self, handle: str, used: Used | None = None) -> UUID | None:
        name = name_of(handle)
        return self.named(name, self._through.get(self._kinds.handles, [name], used).get(name))


def name_of(handle: str) -> str:
    """The form in which handles are compared: they are ASCII, and case does not count."""
    return handle.lower() if handle.isascii() else handle
