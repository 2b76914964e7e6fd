"""The precondition of a change, from the header If-Match (RFC 9110, section 13.1.1)."""

from msgspec import Struct

from app.errors import PreconditionFailed, PreconditionRequired


class Precondition(Struct, frozen=True):
    """`given`: the header was present. `any`: its value is `*`. `tags` are its entity tags without quotes, `versions`
    the numbers that they begin with.
    """

    given: bool = False
    any: bool = False
    versions: frozenset[int] = frozenset()
    tags: frozenset[str] = frozenset()

    def check(self, current: int) -> None:
        """For things that get a new version with every change. `current` is the version.

        Raises `PreconditionRequired`, `PreconditionFailed`.
        """
        self._check(met=current in self.versions)

    def check_whole(self, current: str) -> None:
        """For things that change more often than their version. `current` is the entity tag, with its quotes.

        Raises `PreconditionRequired`, `PreconditionFailed`.
        """
        self._check(met=current.strip('"') in self.tags)

    def _check(self, *, met: bool) -> None:
        if not self.given:
            raise PreconditionRequired("this change needs an If-Match header with the entity tag it is based on")
        if not self.any and not met:
            raise PreconditionFailed("the thing has changed since; read it again and repeat the change")
