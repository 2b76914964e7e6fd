"""The search role: a separate service, which keeps its index up to date from Quartet's events."""

from datetime import timedelta

from repositories.address import BadAddress, address_of, addressed
from repositories.search.port import Found, Kind, SearchIndex

__all__ = ["Found", "Kind", "SearchIndex", "open_search"]


@addressed("search")
def open_search(url: str, *, timeout: timedelta) -> SearchIndex | None:
    """Open the search service at `http://host:port/path` or `https://...`; None if `url` is empty. Connects on first
    use. Raises `BadAddress`.
    """
    if not url:
        return None
    from repositories.search.remote import RemoteSearch

    address = address_of(url)
    if address.scheme not in {"http", "https"} or len(address.hosts) != 1 or address.user:
        raise BadAddress("this is http or https, one host, and a path")
    return RemoteSearch(address, timeout=timeout)
