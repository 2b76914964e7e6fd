"""`redis://`, `rediss://` (TLS) or `unix://`: what redis-py is given to open a connection with."""

from typing import Any

from repositories.address import Address, BadAddress, address_of

_PORT = 6379
_TLS = {"ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"}
_VERIFICATION = {"required", "optional", "none"}


def target_of(url: str) -> tuple[Address, dict[str, Any]]:
    """The address, and keyword arguments of the connection class for its scheme. Raises `BadAddress`."""
    address = address_of(url, options={"db"} | (_TLS if url.startswith("rediss:") else set()))
    options: dict[str, Any] = {name: value for name, value in address.options.items() if name != "db"}
    if options.get("ssl_cert_reqs", "required") not in _VERIFICATION:
        raise BadAddress(f"the option ssl_cert_reqs is one of {', '.join(sorted(_VERIFICATION))}")
    if "ssl_check_hostname" in options:
        options["ssl_check_hostname"] = address.flag("ssl_check_hostname")
    options["db"] = _database(address)
    if address.user:
        options["username"] = address.user
    if address.password:
        options["password"] = address.password
    return address, options | _place(address)


def _place(address: Address) -> dict[str, Any]:
    if address.scheme == "unix":
        if not address.path:
            raise BadAddress("the path of the socket is missing")
        return {"path": f"/{address.path}"}
    if len(address.hosts) != 1:
        raise BadAddress("one host is needed, and only one")
    return {"host": address.hosts[0].name, "port": address.hosts[0].port or _PORT}


def _database(address: Address) -> int:
    named = "" if address.scheme == "unix" else address.path
    if named and "db" in address.options:
        raise BadAddress("the database is named twice, in the path and by the option db")
    text = named or address.options.get("db", "0")
    if not text.isdecimal() or len(text) > 6:
        raise BadAddress("the database is a number")
    return int(text)
