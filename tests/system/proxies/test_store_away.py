"""An unavailable store is unavailable for every server: a proxy with health checks keeps using all of them."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.engines import Server
from tests.engines.home import Home
from tests.engines.kernel import wait_until
from tests.engines.redis import launch_cache
from tests.system.live import Client, Live, run
from tests.system.proxies.proxy import KINDS, running

pytestmark = [pytest.mark.engines, pytest.mark.live, pytest.mark.proof]
# Seconds and answers: more than three failed checks, two seconds apart, after which HAProxy and Varnish drop a server.
ANSWERS = 12
SECONDS = 1.0


@pytest.fixture
def cache() -> Iterator[Server]:
    home = Home()
    server = launch_cache(home)
    yield server
    server.discard()
    home.close()


@pytest.mark.parametrize("name", list(KINDS))
def test_posts_are_read_through_a_proxy_while_the_cache_is_away(name: str, cache: Server, tmp_path: Path) -> None:
    between = threading.Event()
    settings = {"CACHE_URL": cache.url, "WORKERS": "1", "PROXIES": "1", "SHARED_SECONDS": "0"}
    assert run(tmp_path, "migrate", **settings).returncode == 0
    live = Live(tmp_path, **settings)
    with closing(live.answering()):
        ada = live.person("ada")
        path = f"/posts/{ada.publish('A post')}"
        with running(name, live.port) as proxy, closing(Client(proxy.port, ada.token)) as through:
            assert through.send("GET", path).status == 200
            cache.kill()
            assert wait_until(lambda: live.client().send("GET", "/health/ready").status == 503, 20)
            for _ in range(ANSWERS):
                between.wait(SECONDS)
                assert through.send("GET", path).status == 200
