"""Store URLs: one grammar, and one-line error messages that never contain the URL's text, which may hold a password.

    scheme://[user[:password]@]host[:port][,host[:port]...][/path][?option=value[&...]]

User, password, path and values are percent-encoded. Each adapter names the options it takes. Any other option is
refused: silently ignoring a mistyped `ssl` is worse than failing.
"""

import functools
import re
from collections.abc import Callable, Collection
from typing import ParamSpec, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

from msgspec import Struct

P = ParamSpec("P")
T = TypeVar("T")
_ENCODE = "percent-encode the characters / ? # @ : of the user name and the password"
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_TRUE, _FALSE = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off"})


class BadAddress(Exception):
    """What is wrong with a store's URL, without any of its text. `setting` is the name of the setting."""

    def __init__(self, reason: str, *, setting: str = "") -> None:
        super().__init__(reason)
        self.setting = setting


def addressed(store: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate a function that opens a store, so that its `BadAddress` names the setting of that store's URL."""

    def decorate(opening: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(opening)
        def opened(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return opening(*args, **kwargs)
            except BadAddress as error:
                error.setting = error.setting or f"{store}_url"
                raise

        return opened

    return decorate


class Host(Struct, frozen=True):
    """A host of a URL. `port` is None if the URL leaves it out; `name` has no brackets around an IPv6 address."""

    name: str
    port: int | None

    def __str__(self) -> str:
        name = f"[{self.name}]" if ":" in self.name else self.name
        return name if self.port is None else f"{name}:{self.port}"


class Address(Struct, frozen=True):
    """A parsed and decoded URL. `path` has no leading slash; `hosts` may be empty."""

    scheme: str
    user: str
    password: str
    hosts: tuple[Host, ...]
    path: str
    options: dict[str, str]

    @property
    def server(self) -> str:
        """The hosts, or the path without hosts, for display: contains no secret."""
        return ",".join(map(str, self.hosts)) or self.path

    def flag(self, option: str) -> bool:
        """The value of a boolean option, False if it is missing. Raises `BadAddress` if the value is not boolean."""
        value = self.options.get(option, "false").lower()
        if value not in _TRUE | _FALSE:
            raise BadAddress(f"the option {option} must be true or false")
        return value in _TRUE


def address_of(url: str, *, options: Collection[str] | None = ()) -> Address:
    """Parse a URL. `options` are the names the engine takes; None leaves their check to its driver.

    Raises `BadAddress`.
    """
    parts = _split(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    if "@" in credentials or ":" in password:
        raise BadAddress(_ENCODE)
    return Address(
        scheme=parts.scheme,
        user=unquote(user),
        password=unquote(password),
        hosts=tuple(_host(text) for text in hosts.split(",")) if hosts else (),
        path=unquote(parts.path.removeprefix("/")),
        options=_options(parts.query, options),
    )


def _split(url: str) -> SplitResult:
    if _UNPRINTABLE.search(url):
        raise BadAddress("there is white space or an unprintable character in it")
    if _BROKEN_ESCAPE.search(url):
        raise BadAddress("a % must be followed by two hexadecimal digits; write a % itself as %25")
    if "%00" in url:
        raise BadAddress("there is a NUL in it, as %00")
    if "://" not in url:
        raise BadAddress("a URL begins with scheme://")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise BadAddress("the brackets around an IPv6 address are not in order") from None
    if "#" in url:
        raise BadAddress("write a # as %23")
    if "@" in parts.path or "@" in parts.query:
        raise BadAddress(_ENCODE)
    return parts


def _host(text: str) -> Host:
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^\[\]:]+))(?::(.*))?", text)
    if not found:
        raise BadAddress(f"a host is missing or malformed; {_ENCODE}")
    port = found[3]
    if port is not None and not (re.fullmatch(r"[0-9]{1,5}", port) and 1 <= int(port) <= 65535):
        raise BadAddress(f"a port is a number from 1 to 65535; {_ENCODE}")
    return Host(unquote(found[1] or found[2]), None if port is None else int(port))


def _options(query: str, known: Collection[str] | None) -> dict[str, str]:
    options: dict[str, str] = {}
    for pair in query.split("&") if query else []:
        name, given, value = pair.partition("=")
        if known is not None and name not in known:
            takes = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
            raise BadAddress(f"there is an unknown option; {takes}")
        if not given or name in options:
            raise BadAddress(f"the option {name} needs one value" if known else "each option needs one value")
        options[name] = unquote(value)
    return options
