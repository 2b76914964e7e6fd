"""Addresses of mail: one spelling for each mailbox, though names of hosts outside ASCII have several (RFC 5890)."""

_ENCODED = "xn--"


def one_spelling(address: str) -> str:
    """The address with its host as people read it: `xn--bcher-kva` and `BÜCHER` are `bücher`.

    A host in ASCII letters stays as it is written, since addresses are compared without ASCII case anyway. Raises
    `ValueError` for a host that is no domain name in IDNA 2008.
    """
    name, at, host = address.rpartition("@")
    if not at or (host.isascii() and _ENCODED not in host.lower()):
        return address
    # Hardly anybody has such an address, and its tables take a while to load.
    import idna

    return f"{name}{at}{idna.decode(idna.encode(host, uts46=True))}"


def spellings(address: str) -> list[str]:
    """In which an account may have it: the one spelling, and as written, which was stored before there was one."""
    try:
        return list(dict.fromkeys((one_spelling(address), address)))
    except ValueError:
        return [address]


def in_ascii(address: str) -> str:
    """With its host as mail servers know it, which need not understand any other (RFC 6531)."""
    name, at, host = address.rpartition("@")
    if host.isascii():
        return address
    import idna

    try:
        return f"{name}{at}{idna.encode(host, uts46=True).decode()}"
    except ValueError:
        return address
