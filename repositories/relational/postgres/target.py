"""`postgresql://user:password@host:port,host:port/database?option=value`, as libpq takes it.

Options are libpq's own connection parameters, TLS among them (`sslmode=verify-full&sslrootcert=...`), and one of ours:
`pool_mode=transaction` says that the URL is that of a pooler such as PgBouncer in transaction mode.
"""

from typing import Any

from msgspec import Struct
from psycopg.pq import Conninfo as Defaults

from repositories.address import Address, BadAddress, address_of

_PORT = 5432
# Set elsewhere in the URL, or by this adapter.
_NOT_OPTIONS = {"user", "password", "port", "dbname", "replication", "client_encoding", "application_name"}
_POOL_MODE = "pool_mode"
_CHOICES = {
    "sslmode": {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"},
    "target_session_attrs": {"any", "read-write", "read-only", "primary", "standby", "prefer-standby"},
    "load_balance_hosts": {"disable", "random"},
    _POOL_MODE: {"session", "transaction"},
    "channel_binding": {"disable", "prefer", "require"},
}


class Conninfo(Struct, frozen=True):
    """`keywords` are for `psycopg.connect`. `pooled`: consecutive transactions may run on other server connections."""

    keywords: dict[str, Any]
    pooled: bool
    server: str


def conninfo_of(url: str) -> Conninfo:
    """Raises `BadAddress`."""
    known = {option.keyword.decode() for option in Defaults.get_defaults()} - _NOT_OPTIONS
    address = address_of(url, options=known | {_POOL_MODE})
    for name, choices in _CHOICES.items():
        if address.options.get(name, next(iter(choices))) not in choices:
            raise BadAddress(f"the option {name} is one of {', '.join(sorted(choices))}")
    if not (address.hosts or "host" in address.options or "service" in address.options):
        raise BadAddress("a host is missing; for a socket give its folder as the option host")
    options = {name: value for name, value in address.options.items() if name != _POOL_MODE}
    pooled = address.options.get(_POOL_MODE) == "transaction"
    return Conninfo({**_place(address), **options}, pooled, address.server)


def _place(address: Address) -> dict[str, Any]:
    place = {"user": address.user, "password": address.password, "dbname": address.path}
    if address.hosts:
        place["host"] = ",".join(host.name for host in address.hosts)
        place["port"] = ",".join(str(host.port or _PORT) for host in address.hosts)
    return {name: value for name, value in place.items() if value}
