"""Checks the URL: `mongodb://user:password@host:port,host:port/database?replicaSet=...`, as pymongo accepts it.

With `readPreference=secondaryPreferred` some reads may go to secondaries (decision 27); all others go to the primary.
"""

from typing import Any

from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

from repositories.address import Address, BadAddress, address_of

_SRV = "mongodb+srv://"
_MODE, _SECONDARIES = "readPreference", "secondaryPreferred"


def target_of(url: str) -> Address:
    """Parse and check a URL, without DNS. Raises `BadAddress`; its text contains no password and no option value."""
    address = address_of(url, options=None)
    if not address.hosts:
        raise BadAddress("a host is missing")
    try:
        parsed: dict[str, Any] = parse_uri(url.replace(_SRV, "mongodb://", 1), validate=True, warn=False)
    except OSError as error:
        raise BadAddress(f"a file that an option names cannot be read: {error.strerror}") from None
    except (PyMongoError, ValueError, TypeError) as error:
        text = str(error).splitlines()[0]
        secret = [address.password, *address.options.values()]
        shown = not any(value and value in text for value in secret)
        raise BadAddress(text if shown else "an option has an invalid value") from None
    if url.startswith(_SRV) and (len(address.hosts) > 1 or address.hosts[0].port):
        raise BadAddress("mongodb+srv names one host, and no port")
    mode = parsed["options"].get(_MODE, "primary")
    if mode not in {"primary", _SECONDARIES}:
        raise BadAddress(f"the option readPreference is primary or {_SECONDARIES}")
    for name in ("readPreferenceTags", "maxStalenessSeconds"):
        if name in parsed["options"]:
            raise BadAddress(f"the option {name} is not supported")
    if parsed["collection"]:
        raise BadAddress("the path is the name of the database, without dots")
    return address


def reads_secondaries(url: str) -> bool:
    """Whether the URL allows reads on secondaries."""
    return any(
        name.lower() == _MODE.lower() and value == _SECONDARIES for name, value in target_of(url).options.items()
    )
