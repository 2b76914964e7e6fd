"""Where webhooks may go: which URLs are accepted, and which IP addresses may be connected to."""

from ipaddress import ip_network

import pytest

from repositories.address import BadAddress
from repositories.sinks.webhooks.permitted_addresses import is_permitted
from repositories.sinks.webhooks.target import target_of

INSIDE = (ip_network("10.0.0.0/8"), ip_network("::1/128"))


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.255.254", "0.1.2.3", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
        *("100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1"),
        # IPv4 addresses embedded in IPv6 addresses: mapped, 6to4, NAT64, Teredo.
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "2002:a00:1::"),
        *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2001:0:4136:e378:8000:63bf:80ff:fffe"),
    ],
)
def test_special_addresses_are_refused(address: str) -> None:
    assert not is_permitted(address, ())


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are_permitted_only_with_tls(address: str) -> None:
    assert is_permitted(address, ())
    assert not is_permitted(address, INSIDE, plain=True)


def test_networks_that_are_allowed() -> None:
    for address in ("10.9.9.9", "::ffff:10.9.9.9", "::1", "64:ff9b::a00:1"):
        assert is_permitted(address, INSIDE, plain=True)
    assert not is_permitted("192.168.0.1", INSIDE)


@pytest.mark.parametrize(
    ("url", "origin", "target"),
    [
        ("https://example.com", ("https", "example.com", 443), "/"),
        ("https://EXAMPLE.com.:8443/a/b?c=d&e", ("https", "example.com", 8443), "/a/b?c=d&e"),
        ("https://[2606:4700::1111]/", ("https", "2606:4700::1111", 443), "/"),
        ("https://8.8.8.8?x", ("https", "8.8.8.8", 443), "/?x"),
        ("https://xn--bcher-kva.example/%20", ("https", "xn--bcher-kva.example", 443), "/%20"),
    ],
)
def test_urls_that_are_taken(url: str, origin: tuple[str, str, int], target: str) -> None:
    found = target_of(url, ())
    assert (found.origin.scheme, found.origin.host, found.origin.port) == origin
    assert found.target == target


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.com", "ftp://example.com", "http://example.com", "https://", "https:///a", "https://:443"),
        *("https://u@example.com", "https://u:p@example.com", "https://example.com/#f", "https://example.com#"),
        *("https://example.com:0", "https://example.com:65536", "https://example.com:x", "https://[::1", "https://[x]"),
        *("https://exa mple.com", "https://example.com/\n", "https://bücher.example", "https://example.com/é"),
        *("https://127.0.0.1/", "https://[::1]/", "https://169.254.169.254/latest", "https://[::ffff:10.0.0.1]/"),
        *("https://-a.example", "https://a..b", f"https://{'a' * 64}.example", f"https://example.com/{'a' * 2000}"),
        *("https://example.com\\@127.0.0.1/", "https://0x7f.1/\x00", "javascript:alert(1)", "https://%31/"),
    ],
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(BadAddress):
        target_of(url, ())


def test_plain_http_is_permitted_only_to_allowed_networks() -> None:
    assert target_of("http://10.0.0.1:8080/x", INSIDE).origin.scheme == "http"
    assert target_of("http://receiver/x", INSIDE).origin.host == "receiver"
    with pytest.raises(BadAddress):
        target_of("http://192.168.0.1/x", INSIDE)
