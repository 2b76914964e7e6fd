"""The server that an HTTP URL names. A module of its own, so that checking a URL does not import the client."""

from msgspec import Struct


class Origin(Struct, frozen=True):
    """`scheme` is `http` or `https`; `host` is a name or an address without brackets."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """The authority in the form of the `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"http": 80, "https": 443}[self.scheme] else f"{host}:{self.port}"
