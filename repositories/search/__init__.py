"""The search role: a service beside Quartet, which events keep up to date."""

from datetime import timedelta

from repositories.address import BadAddress, address_of, addressed
from repositories.search.port import Found, Kind, SearchIndex

__all__ = ["Found", "Kind", "SearchIndex", "open_search"]


@addressed("search")
def open_search(url: str, *, timeout: timedelta) -> SearchIndex | None:
    """`http://host:port/path` or `https://`; None without one. Raises `BadAddress`. Connects when it is first used."""
    if not url:
        return None
    from repositories.search.remote import RemoteSearch

    address = address_of(url)
    if address.scheme not in {"http", "https"} or len(address.hosts) != 1 or address.user:
        raise BadAddress("this is http or https, one host, and a path")
    return RemoteSearch(address, timeout=timeout)
