"""Proxies with other configurations than the page's: what must hold nevertheless, and what the page says about them."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from tests.engines.kernel import wait_until
from tests.system.live import Client, Live, migrated
from tests.system.proxies.proxy import running

pytestmark = [pytest.mark.engines, pytest.mark.live, pytest.mark.proof]
# A line of the page, and its replacement.
Change = tuple[str, str]
NGINX, HAPROXY, VARNISH = "proxy_http_version 1.1;", "    option abortonclose", "        set beresp.do_gzip = true;"
HAPROXY_CACHE = """cache small
    total-max-size 16
    max-age 600
    process-vary on

frontend public
    http-request cache-use small
    http-response cache-store small"""
SLICE = """        proxy_cache quartet;
        slice 1k;
        proxy_cache_key $uri$is_args$args$slice_range;
        proxy_set_header Range $slice_range;
        proxy_set_header Connection "";
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
"""
CHANGES: dict[str, tuple[str, Change]] = {
    "nginx, unbuffered": ("nginx", (NGINX, f"{NGINX} proxy_buffering off; proxy_request_buffering off;")),
    "nginx, HTTP/1.0": ("nginx", (NGINX, "proxy_http_version 1.0;")),
    "nginx, slices": ("nginx", ("        proxy_cache quartet;\n", SLICE)),
    "haproxy, closing": ("haproxy", (HAPROXY, f"{HAPROXY}\n    option httpclose")),
    "haproxy, sharing connections": ("haproxy", (HAPROXY, f"{HAPROXY}\n    http-reuse always")),
    "haproxy, its cache": ("haproxy", ("frontend public", HAPROXY_CACHE)),
    "varnish, ESI": ("varnish", (VARNISH, f"{VARNISH} set beresp.do_esi = true;")),
    "varnish, unpacking": ("varnish", (VARNISH, VARNISH.replace("gzip", "gunzip"))),
}
# Configurations that cache nothing: nginx does not cache without buffers, and HAProxy does not know how answers vary.
KEEP_NOTHING = {"nginx, unbuffered", "haproxy, closing", "haproxy, sharing connections", "haproxy, its cache"}


@contextmanager
def served(folder: Path, seconds: int) -> Iterator[Live]:
    migrated(folder)
    live = Live(folder, WORKERS="1", PROXIES="1", SHARED_SECONDS=f"{seconds}")
    try:
        yield live.answering()
    finally:
        live.close()


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with served(tmp_path_factory.mktemp("behind"), 600) as found:
        yield found


@pytest.fixture(scope="module")
def unshared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with served(tmp_path_factory.mktemp("unshared"), 0) as found:
        yield found


@pytest.mark.parametrize("name", list(CHANGES))
def test_edits_and_conditions_work_and_private_answers_stay_private(live: Live, name: str) -> None:
    kind, change = CHANGES[name]
    ada, bob = live.person("ada"), live.person("bob")
    with running(kind, live.port, changes=[change]) as proxy:
        clients = [Client(proxy.port, token) for token in (ada.token, bob.token, None)]
        own, other, stranger = clients
        for reader in clients:
            for coding in ("gzip", "identity"):
                path = written(own)
                seen = reader.send("GET", path, Accept_Encoding=coding)
                assert (
                    reader.send("GET", path, Accept_Encoding=coding, If_None_Match=seen.headers["etag"]).status == 304
                )
                title = f"After {uuid4()}"
                assert own.send("PATCH", path, {"title": title}, If_Match=seen.headers["etag"]).status == 200
                assert own.send("PATCH", path, {"title": title}, If_Match=seen.headers["etag"]).status == 412
        path = written(own)
        own.ask("PUT", f"{path}/like")
        liked = [reader.ask("GET", path).get("viewer", {}).get("liked") for reader in (own, other, stranger) * 2]
        assert liked == [True, False, None] * 2
        assert [reader.send("GET", "/accounts/me").status for reader in clients] == [200, 200, 401]
        for client in clients:
            client.close()
        assert is_kept(lambda: Client(proxy.port), path) == (name not in KEEP_NOTHING)


@pytest.mark.parametrize(
    ("kind", "changes", "status"),
    [
        ("nginx", [], 200),
        ("nginx", [("        proxy_cache quartet;\n", "")], 304),
        ("haproxy", [], 304),
        ("varnish", [], 304),
    ],
)
def test_conditional_reads_of_what_no_cache_may_share(
    unshared: Live, kind: str, changes: list[Change], status: int
) -> None:
    path = written(unshared.person("ada"))
    with running(kind, unshared.port, changes=changes) as proxy, closing(Client(proxy.port)) as stranger:
        for read in (path, "/posts"):
            tag = stranger.send("GET", read).headers["etag"]
            assert stranger.send("GET", read, If_None_Match=tag).status == status


def written(author: Client) -> str:
    """Publish a post that is long enough to be compressed and that no cache has; returns its path."""
    body = {"title": "Before", "body": "Some words. " * 200}
    return f"/posts/{author.ask('POST', '/posts', body)['post']['id']}"


def is_kept(client: Callable[[], Client], path: str) -> bool:
    """Whether a cache serves one answer of Quartet to two clients without a session."""

    def writer() -> str:
        with closing(client()) as one:
            return one.send("GET", path).headers["x-request-id"]

    return wait_until(lambda: writer() == writer(), 2)
