"""Parses the URL of a receiver, `https://host:port/path?query`, and decides which IP addresses may be connected to.

Receivers are on the public internet. An address in a private, loopback, link-local or other special network is allowed
only if it is in one of the `Inside` networks. Only these may also be reached without TLS.
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
# NAT64 (RFC 6052): the last four bytes are an IPv4 address.
_TRANSLATED = ip_network("64:ff9b::/96")


class WebhookTarget(Struct, frozen=True):
    origin: Origin
    # The request target: path and query.
    target: str


def target_of(url: str, inside: Inside) -> WebhookTarget:
    """Parse and check a URL. Raises `BadAddress`. Does not resolve a name: its addresses are checked on connecting."""
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
        raise BadAddress("it must have no user, password or fragment")
    host = (parts.hostname or "").rstrip(".")
    if port == 0 or not (_HOST.fullmatch(host) or _is_address(host)):
        raise BadAddress("the host, or the port, is malformed")
    if _is_address(host) and not is_permitted(host, inside):
        raise BadAddress("the address is not public")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return WebhookTarget(Origin(parts.scheme, host, port or _PORTS[parts.scheme]), target)


def is_permitted(address: str, inside: Inside, *, plain: bool = False) -> bool:
    """Whether this IP address may be connected to. `plain`: without TLS."""
    found = _unwrapped(ip_address(address.partition("%")[0]))
    if any(found in network for network in inside):
        return True
    return not plain and found.is_global and not found.is_multicast


def _unwrapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address embedded in an IPv6 address (mapped, NAT64, 6to4, Teredo), or the address itself."""
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
