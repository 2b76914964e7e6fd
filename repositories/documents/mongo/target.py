"""`mongodb://user:password@host:port,host:port/database?replicaSet=...`, as pymongo takes it."""

from typing import Any

from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

from repositories.address import Address, BadAddress, address_of

_SRV = "mongodb+srv://"


def target_of(url: str) -> Address:
    """Checked without asking a name server. Raises `BadAddress`; its text has none of the options' values."""
    address = address_of(url, options=None)
    if not address.hosts:
        raise BadAddress("a host is missing")
    try:
        parsed: dict[str, Any] = parse_uri(url.replace(_SRV, "mongodb://", 1), validate=True, warn=False)
    except (PyMongoError, ValueError, TypeError) as error:
        text = str(error).splitlines()[0]
        secret = [address.password, *address.options.values()]
        shown = not any(value and value in text for value in secret)
        raise BadAddress(text if shown else "an option has a value that it cannot have") from None
    if parsed["collection"]:
        raise BadAddress("the path is the name of the database, without dots")
    return address
