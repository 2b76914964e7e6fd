"""Validates origins of web pages in the form in which browsers send them in `Origin` (RFC 6454, section 6.2)."""

import re
from ipaddress import AddressValueError, IPv6Address

ORIGIN = re.compile(
    r"([a-z][a-z0-9+.-]*)://(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[([0-9a-f:.]+)\])(?::([1-9][0-9]{0,4}))?",
    re.ASCII,
)
# Browsers omit these ports in `Origin`.
DEFAULT_PORTS = {"http": 80, "https": 443}


def is_origin(text: str) -> bool:
    """Whether a browser could send this origin: scheme, host and port in lower case, and nothing after them."""
    found = ORIGIN.fullmatch(text)
    if found is None:
        return False
    scheme, address, port = found.groups()
    if port and (int(port) > 65535 or int(port) == DEFAULT_PORTS.get(scheme)):
        return False
    return address is None or _is_compressed(address)


def _is_compressed(address: str) -> bool:
    try:
        return str(IPv6Address(address)) == address
    except AddressValueError:
        return False
