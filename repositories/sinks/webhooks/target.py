"""Parses and checks the URL of a receiver, `https://host:port/path?query`."""

import re
from urllib.parse import urlsplit

from msgspec import Struct

from repositories.address import BadAddress
from repositories.http_client.origin import Origin
from repositories.sinks.webhooks.permitted_addresses import Inside, is_address, is_permitted

LONGEST = 2000
_PORTS = {"http": 80, "https": 443}
_VISIBLE = re.compile(r"[!-~]+")
_HOST = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")


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
    if port == 0 or not (_HOST.fullmatch(host) or is_address(host)):
        raise BadAddress("the host, or the port, is malformed")
    if is_address(host) and not is_permitted(host, inside):
        raise BadAddress("the address is not public")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return WebhookTarget(Origin(parts.scheme, host, port or _PORTS[parts.scheme]), target)
