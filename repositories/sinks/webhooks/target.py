"""`https://host:port/path?query`: what of it is dialled, and which addresses may be.

Receivers are outside: an address of a private, loopback, link-local or other special network is spoken to only where
it is in one of the networks that are `Inside`, and only there without TLS.
"""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from msgspec import Struct

from repositories.address import BadAddress
from repositories.http_client.origin import Origin

Inside = tuple[IPv4Network | IPv6Network, ...]
LONGEST = 2000
_PORTS = {"http": 80, "https": 443}
_VISIBLE = re.compile(r"[!-~]+")
_HOST = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
# Behind a translator (RFC 6052) the last four bytes are an address of IPv4.
_TRANSLATED = ip_network("64:ff9b::/96")


class WebhookTarget(Struct, frozen=True):
    origin: Origin
    # Path and query.
    target: str


def target_of(url: str, inside: Inside) -> WebhookTarget:
    """Raises `BadAddress`. A name is not resolved: whether it leads to a good address is seen when it is dialled."""
    if len(url) > LONGEST or not _VISIBLE.fullmatch(url):
        raise BadAddress(f"a URL has up to {LONGEST} visible ASCII characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadAddress("the host, or the port, is malformed") from None
    if parts.scheme not in _PORTS or (parts.scheme == "http" and not inside):
        raise BadAddress("the scheme must be https")
    if "@" in parts.netloc or "#" in url:
        raise BadAddress("no user, no password, no fragment")
    host = (parts.hostname or "").rstrip(".")
    if port == 0 or not (_HOST.fullmatch(host) or _is_address(host)):
        raise BadAddress("the host, or the port, is malformed")
    if _is_address(host) and not is_permitted(host, inside):
        raise BadAddress("this address is not a public one")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return WebhookTarget(Origin(parts.scheme, host, port or _PORTS[parts.scheme]), target)


def is_permitted(address: str, inside: Inside, *, plain: bool = False) -> bool:
    """Whether this address may be spoken to; `plain` is without TLS."""
    found = _meant(ip_address(address.partition("%")[0]))
    if any(found in network for network in inside):
        return True
    return not plain and found.is_global and not found.is_multicast


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The address of IPv4 that one of IPv6 stands for, if it does."""
    if isinstance(address, IPv4Address):
        return address
    if address in _TRANSLATED:
        return IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1] or address


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
