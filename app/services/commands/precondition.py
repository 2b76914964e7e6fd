"""If-Match as the rules see it (RFC 9110, section 13.1.1): the versions a client is willing to change."""

from msgspec import Struct

from app.errors import PreconditionFailed, PreconditionRequired


class Precondition(Struct, frozen=True):
    """`given` is whether the header was there; `any` is `*`; `versions` are those of its entity tags."""

    given: bool = False
    any: bool = False
    versions: frozenset[int] = frozenset()

    def check(self, current: int) -> None:
        if not self.given:
            raise PreconditionRequired("this change needs an If-Match header with the entity tag it is based on")
        if not self.any and current not in self.versions:
            raise PreconditionFailed("the thing has changed since; read it again and repeat the change")
