"""`cassandra://user:password@host:port,host:port/keyspace?datacenter=dc1&ssl=true`; most may be left out.

TLS is on with `ssl=true` or any other option of its own: `ssl_ca_certs`, `ssl_certfile` and `ssl_keyfile` (PEM files),
`ssl_check_hostname` (on unless `false`). The server's certificate is always verified.
"""

import re
import ssl

from msgspec import Struct

from repositories.address import Address, BadAddress, address_of

PORT = 9042
_TLS = {"ssl", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname"}


class Tls(Struct, frozen=True):
    """Files are read when a connection is made. Without `ca_certs` the machine's own authorities are trusted."""

    ca_certs: str | None
    certfile: str | None
    keyfile: str | None
    check_hostname: bool

    def context(self) -> ssl.SSLContext:
        """Raises `OSError` (`ssl.SSLError` among them) for files that cannot be used."""
        made = ssl.create_default_context(cafile=self.ca_certs)
        made.check_hostname = self.check_hostname
        if self.certfile:
            made.load_cert_chain(self.certfile, self.keyfile)
        return made


class CassandraTarget(Struct, frozen=True):
    hosts: tuple[tuple[str, int], ...]
    keyspace: str
    datacenter: str
    user: str
    password: str
    tls: Tls | None


def target_of(url: str) -> CassandraTarget:
    """Raises `BadAddress`."""
    address = address_of(url, options={"datacenter"} | _TLS)
    if not address.hosts:
        raise BadAddress("a host is missing")
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,47}", address.path):
        raise BadAddress("the path is a keyspace: a small letter, then up to 47 small letters, digits or underscores")
    return CassandraTarget(
        hosts=tuple((host.name, host.port or PORT) for host in address.hosts),
        keyspace=address.path,
        datacenter=address.options.get("datacenter", ""),
        user=address.user,
        password=address.password,
        tls=_tls(address),
    )


def _tls(address: Address) -> Tls | None:
    given = _TLS & address.options.keys()
    wanted = address.flag("ssl") if "ssl" in given else bool(given)
    if given - {"ssl"} and not wanted:
        raise BadAddress("ssl=false contradicts the other options of TLS")
    if "ssl_keyfile" in given and "ssl_certfile" not in given:
        raise BadAddress("the option ssl_keyfile needs ssl_certfile")
    if not wanted:
        return None
    option = address.options.get
    check = address.flag("ssl_check_hostname") if "ssl_check_hostname" in given else True
    return Tls(option("ssl_ca_certs"), option("ssl_certfile"), option("ssl_keyfile"), check)
