"""Which IP addresses a webhook may be sent to, so that a receiver's URL reaches no server of the operator's network.

Receivers are on the public internet. An address in a private, loopback, link-local or other special network is allowed
only if it is in one of the `Inside` networks. Only these may also be reached without TLS.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Inside = tuple[IPv4Network | IPv6Network, ...]
# NAT64 (RFC 6052): the last four bytes are an IPv4 address.
_TRANSLATED = ip_network("64:ff9b::/96")


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


def is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
