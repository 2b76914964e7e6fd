"""E-mail addresses: one spelling for each mailbox, although a host name outside ASCII has several (RFC 5890)."""

_ACE_PREFIX = "xn--"


def one_spelling(address: str) -> str:
    """The address with its host in Unicode, lower case: `xn--bcher-kva` and `BÜCHER` become `bücher`.

    A host in plain ASCII is not changed, since addresses are compared without ASCII case anyway. Raises `ValueError`
    for a host that is not a domain name in IDNA 2008.
    """
    name, at, host = address.rpartition("@")
    if not at or (host.isascii() and _ACE_PREFIX not in host.lower()):
        return address
    # Imported here: few addresses need it, and its tables are slow to load.
    import idna

    return f"{name}{at}{idna.decode(idna.encode(host, uts46=True))}"


def spellings(address: str) -> list[str]:
    """The spellings that an account may be stored with: `one_spelling`, and the address as given, as older accounts
    were stored.
    """
    try:
        return list(dict.fromkeys((one_spelling(address), address)))
    except ValueError:
        return [address]


def in_ascii(address: str) -> str:
    """The address with its host in ASCII, since mail servers need not support any other (RFC 6531)."""
    name, at, host = address.rpartition("@")
    if host.isascii():
        return address
    import idna

    try:
        return f"{name}{at}{idna.encode(host, uts46=True).decode()}"
    except ValueError:
        return address
