"""If-Match as the rules see it (RFC 9110, section 13.1.1): what a client is willing to change."""

from msgspec import Struct

from app.errors import PreconditionFailed, PreconditionRequired


class Precondition(Struct, frozen=True):
    """`given` is whether the header was there; `any` is `*`; `tags` are its entity tags without quotes, `versions` the
    numbers that they begin with.
    """

    given: bool = False
    any: bool = False
    versions: frozenset[int] = frozenset()
    tags: frozenset[str] = frozenset()

    def check(self, current: int) -> None:
        """For things whose every change has a version of its own."""
        self._check(met=current in self.versions)

    def check_whole(self, current: str) -> None:
        """For things that change more often than their version. `current` is the entity tag, with its quotes."""
        self._check(met=current.strip('"') in self.tags)

    def _check(self, *, met: bool) -> None:
        if not self.given:
            raise PreconditionRequired("this change needs an If-Match header with the entity tag it is based on")
        if not self.any and not met:
            raise PreconditionFailed("the thing has changed since; read it again and repeat the change")
