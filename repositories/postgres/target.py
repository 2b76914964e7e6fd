"""`postgresql://user:password@host:port,host:port/database?option=value`, as libpq takes it.

Options are libpq's own connection parameters, TLS among them (`sslmode=verify-full&sslrootcert=...`), and one of ours:
`pool_mode=transaction` says that the URL is that of a pooler such as PgBouncer in transaction mode. Of several hosts
the one that takes writes is used, so `target_session_attrs` may be left out.
"""

import re
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from psycopg.pq import Conninfo as Defaults

from repositories.address import Address, BadAddress, address_of

_PORT = 5432
# Set elsewhere in the URL, or by this adapter.
_NOT_OPTIONS = {"user", "password", "port", "dbname", "replication", "client_encoding", "application_name"}
_POOL_MODE = "pool_mode"
_CHOICES = {
    "sslmode": {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"},
    # Every connection is asked whether it may write, so these mean the same.
    "target_session_attrs": {"any", "read-write", "primary"},
    "load_balance_hosts": {"disable", "random"},
    _POOL_MODE: {"session", "transaction"},
    "channel_binding": {"disable", "prefer", "require"},
    "gssencmode": {"disable", "prefer", "require"},
}
# Checked here, since libpq checks these when it connects, and its error looks like that of a server that is away.
_INTEGERS = {"connect_timeout", "tcp_user_timeout"} | {f"keepalives{of}" for of in ("", "_idle", "_interval", "_count")}
# Not for libpq: which host is used is decided here.
_OURS = {_POOL_MODE, "target_session_attrs", "load_balance_hosts"}


class Conninfo(Struct, frozen=True):
    """`keywords` are for `psycopg.connect`, together with those of one of `hosts`, which are in the URL's order.

    `pooled`: consecutive transactions may run on different connections of the server.
    """

    keywords: dict[str, Any]
    pooled: bool
    server: str
    hosts: tuple[dict[str, Any], ...]


def conninfo_of(url: str) -> Conninfo:
    """Parse a URL. Raises `BadAddress`."""
    return _conninfo(_address(url))


def replicas_of(text: str, url: str) -> list[Conninfo]:
    """One `Conninfo` for each host. `text` has URLs, or hosts as in a URL, which take everything else from `url`.

    Commas or white space separate them. Raises `BadAddress`.
    """
    try:
        return _replicas(text, url)
    except BadAddress as error:
        error.setting = "relational_replicas"
        raise


def _replicas(text: str, url: str) -> list[Conninfo]:
    items = re.split(r",(?=\w+://)|\s+", re.sub(r"\s*,\s*", ",", text.strip()))
    named = [_conninfo(_address(item) if "://" in item else _with_hosts(item, _address(url))) for item in items]
    return [replace(one, server=_name(host), hosts=(host,)) for one in named for host in one.hosts]


def _address(url: str) -> Address:
    known = {option.keyword.decode() for option in Defaults.get_defaults()} - _NOT_OPTIONS
    address = address_of(url, options=known | {_POOL_MODE})
    if address.scheme != "postgresql":
        raise BadAddress("the scheme must be postgresql")
    return address


def _with_hosts(hosts: str, address: Address) -> Address:
    """The address with these hosts instead of its own."""
    found = address_of(f"postgresql://{hosts}")
    if found.user or found.path or not found.hosts:
        raise BadAddress("without a scheme it must be hosts only, such as host:port,host:port")
    options = {name: value for name, value in address.options.items() if name not in {"host", "hostaddr"}}
    return replace(address, hosts=found.hosts, options=options)


def _name(host: dict[str, Any]) -> str:
    return ":".join(host[part] for part in ("host", "port") if part in host)


def _conninfo(address: Address) -> Conninfo:
    for name, choices in _CHOICES.items():
        if address.options.get(name, next(iter(choices))) not in choices:
            raise BadAddress(f"the option {name} is one of {', '.join(sorted(choices))}")
    for name in _INTEGERS & address.options.keys():
        if not re.fullmatch(r"-?[0-9]{1,9}", address.options[name]):
            raise BadAddress(f"the option {name} is an integer")
    if not (address.hosts or "host" in address.options or "service" in address.options):
        raise BadAddress("a host is missing; for a socket give its folder as the option host")
    options = {name: value for name, value in address.options.items() if name not in _OURS}
    pooled = address.options.get(_POOL_MODE) == "transaction"
    named = {"user": address.user, "password": address.password, "dbname": address.path}
    hosts = _hosts(address, options)
    return Conninfo({**{k: v for k, v in named.items() if v}, **options}, pooled, address.server, hosts)


def _hosts(address: Address, options: dict[str, str]) -> tuple[dict[str, Any], ...]:
    """Takes `host` and `hostaddr` from the options; libpq pairs them, one by one."""
    if address.hosts and "host" in options:
        raise BadAddress("the host is named twice, before the path and by the option host")
    places: list[dict[str, Any]] = [{"host": host.name, "port": str(host.port or _PORT)} for host in address.hosts]
    for name in {"host", "hostaddr"} & options.keys():
        values = options.pop(name).split(",")
        if len(values) != len(places or values):
            raise BadAddress("there are as many values of the option hostaddr as hosts")
        places = [place | {name: value} for place, value in zip(places or [{}] * len(values), values, strict=True)]
    return tuple(places) or ({},)
