"""The URLs of Redis, and the options for opening a connection with redis-py.

    redis://user:password@host:port/database        rediss:// for TLS, unix:///path/of/socket
    redis+sentinel://user:password@host:port,host:port/name/database
    redis+cluster://user:password@host:port,host:port

The hosts of `redis+sentinel://` (`rediss+sentinel://`: TLS to both) are Sentinels, `name` is their name of the master.
User and password are for Redis; `sentinel_user` and `sentinel_password` are options. The hosts of `redis+cluster://`
(`rediss+cluster://`) are some of the cluster's nodes, which return the others; a cluster has one database.
"""

from typing import Any

from msgspec import Struct

from repositories.address import Address, BadAddress, address_of

_PORT, _SENTINEL_PORT = 6379, 26379
_TLS = {"ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"}
_VERIFICATION = {"required", "optional", "none"}
_SENTINEL = {"sentinel_user", "sentinel_password"}


class RedisTarget(Struct, frozen=True):
    """`options` are keyword arguments for redis-py's connection class of the `scheme`, `redis`, `rediss` or `unix`.

    Each of `sentinels` and each of a cluster's `nodes` is a set of such arguments too; then `options` has neither host
    nor port. `master` is the Sentinels' name of the master.
    """

    scheme: str
    options: dict[str, Any]
    server: str
    master: str = ""
    sentinels: tuple[dict[str, Any], ...] = ()
    nodes: tuple[dict[str, Any], ...] = ()


def target_of(url: str) -> RedisTarget:
    """Raises `BadAddress`."""
    scheme, _, kind = url.partition("://")[0].partition("+")
    tls = _TLS if scheme == "rediss" else set()
    if kind == "cluster":
        return _cluster(scheme, address_of(url, options=tls))
    address = address_of(url, options={"db"} | tls | (_SENTINEL if kind else set()))
    common = _tls_options(address)
    path, master = address.path, ""
    if kind:
        master, _, path = path.partition("/")
        if not master:
            raise BadAddress("the path must be the name of the master in Sentinel, and the number of a database")
    options = common | {"db": _database(address, "" if scheme == "unix" else path)}
    options |= _signed_in(address.user, address.password)
    if not kind:
        return RedisTarget(scheme, options | _place(address), address.server)
    if not address.hosts:
        raise BadAddress("a host is missing")
    own = common | _signed_in(*(address.options.get(name, "") for name in ("sentinel_user", "sentinel_password")))
    sentinels = tuple(own | {"host": host.name, "port": host.port or _SENTINEL_PORT} for host in address.hosts)
    return RedisTarget(scheme, options, f"{address.server}/{master}", master, sentinels)


def _cluster(scheme: str, address: Address) -> RedisTarget:
    if not address.hosts:
        raise BadAddress("a host is missing")
    if address.path:
        raise BadAddress("a Redis Cluster has one database, so there must be no path")
    options = _tls_options(address) | _signed_in(address.user, address.password)
    nodes = tuple(options | {"host": host.name, "port": host.port or _PORT} for host in address.hosts)
    return RedisTarget(scheme, options, address.server, nodes=nodes)


def _tls_options(address: Address) -> dict[str, Any]:
    options: dict[str, Any] = {name: value for name, value in address.options.items() if name in _TLS}
    if options.get("ssl_cert_reqs", "required") not in _VERIFICATION:
        raise BadAddress(f"the option ssl_cert_reqs is one of {', '.join(sorted(_VERIFICATION))}")
    if "ssl_check_hostname" in options:
        options["ssl_check_hostname"] = address.flag("ssl_check_hostname")
    return options


def _signed_in(user: str, password: str) -> dict[str, Any]:
    return {name: value for name, value in {"username": user, "password": password}.items() if value}


def _place(address: Address) -> dict[str, Any]:
    if address.scheme == "unix":
        if not address.path:
            raise BadAddress("the path of the socket is missing")
        return {"path": f"/{address.path}"}
    if len(address.hosts) != 1:
        raise BadAddress("one host is needed, and only one; several Sentinels are named by redis+sentinel://")
    return {"host": address.hosts[0].name, "port": address.hosts[0].port or _PORT}


def _database(address: Address, named: str) -> int:
    if named and "db" in address.options:
        raise BadAddress("the database is named twice, in the path and by the option db")
    text = named or address.options.get("db", "0")
    if not text.isdecimal() or len(text) > 6:
        raise BadAddress("the database is a number")
    return int(text)
