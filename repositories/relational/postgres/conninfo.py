"""`postgresql://user:password@host:port,host:port/database?option=value`, as libpq takes it.

Options are libpq's own connection parameters, TLS among them (`sslmode=verify-full&sslrootcert=...`).
"""

from typing import Any

from psycopg.pq import Conninfo

from repositories.address import Address, BadAddress, address_of

_PORT = 5432
# What the URL says in another place, or what is ours to set.
_NOT_OPTIONS = {"user", "password", "port", "dbname", "replication", "client_encoding", "application_name"}
_CHOICES = {
    "sslmode": {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"},
    "target_session_attrs": {"any", "read-write", "read-only", "primary", "standby", "prefer-standby"},
    "load_balance_hosts": {"disable", "random"},
    "channel_binding": {"disable", "prefer", "require"},
}


def conninfo_of(url: str) -> dict[str, Any]:
    """Keyword arguments for `psycopg.connect`. Raises `BadAddress`."""
    known = {option.keyword.decode() for option in Conninfo.get_defaults()} - _NOT_OPTIONS
    address = address_of(url, options=known)
    for name, choices in _CHOICES.items():
        if address.options.get(name, next(iter(choices))) not in choices:
            raise BadAddress(f"the option {name} is one of {', '.join(sorted(choices))}")
    if not (address.hosts or "host" in address.options or "service" in address.options):
        raise BadAddress("a host is missing; for a socket give its folder as the option host")
    return {**_place(address), **address.options}


def _place(address: Address) -> dict[str, Any]:
    place = {"user": address.user, "password": address.password, "dbname": address.path}
    if address.hosts:
        place["host"] = ",".join(host.name for host in address.hosts)
        place["port"] = ",".join(str(host.port or _PORT) for host in address.hosts)
    return {name: value for name, value in place.items() if value}
