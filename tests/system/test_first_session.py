"""The README's first session, and the page on money that continues it, as a newcomer would paste them into a shell."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.live import HOST, Live

pytestmark = pytest.mark.live
ROOT = Path(__file__).parents[2]
ADDRESS = "http://127.0.0.1:8000"
EVENT = re.compile(r"^event: (\w+)\ndata: (.+)$", re.MULTILINE)


def shell(page: str) -> str:
    """The shell blocks of a page."""
    return "\n".join(re.findall(r"^```sh\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server like the one that `make run` starts."""
    live = Live(tmp_path_factory.mktemp("session"), "start")
    yield live.answering()
    live.close()


@pytest.fixture(scope="module")
def screen(served: Live) -> str:
    """The complete output that the newcomer sees."""
    script = shell("README.md") + shell("docs/money.md")
    assert ADDRESS in script
    script = script.replace(ADDRESS, f"http://{HOST}:{served.port}")
    done = subprocess.run(
        ["bash", "-u"], input=script, capture_output=True, text=True, encoding="utf-8", timeout=60, check=False
    )
    # 28: the stream was ended by its time limit.
    noise = [line for line in done.stderr.splitlines() if not line.startswith("curl: (28)")]
    assert (done.returncode, noise) == (0, []), done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def bodies(screen: str) -> list[Any]:
    """The JSON bodies in the output, which are on separate lines."""
    return [json.loads(line) for line in screen.splitlines() if line.startswith("{")]


def test_every_answer_is_a_success_on_its_own_line(screen: str, bodies: list[Any]) -> None:
    assert [body for body in bodies if "code" in body] == []
    assert screen.endswith("\n")
    assert not re.search(r"\}\{|\}[^\n,\]}]*\n?HTTP/", screen)


def test_the_followed_account_fills_the_feed(bodies: list[Any]) -> None:
    (feed,) = [body for body in bodies if "items" in body and "post" in body["items"][0]]
    assert len(feed["items"]) == 2
    assert {item["author"]["handle"] for item in feed["items"]} != {"ada"}


def test_a_live_event_arrives_while_the_stream_is_open(screen: str, bodies: list[Any]) -> None:
    (published,) = [body["post"]["id"] for body in bodies if body.get("post", {}).get("title") == "Hello"]
    events = [(name, json.loads(data)) for name, data in EVENT.findall(screen)]
    assert ("post", published) in [(name, data.get("post_id")) for name, data in events]


def test_a_profile_is_changed_with_its_tag(bodies: list[Any]) -> None:
    assert "Mathematics." in [body["account"]["bio"] for body in bodies if "account" in body]


def test_a_repeated_request_takes_effect_once(bodies: list[Any]) -> None:
    deposits = [body for body in bodies if body.get("kind") == "deposit"]
    orders = [body for body in bodies if "lines" in body]
    for sent in (deposits, orders):
        assert len(sent) == 2
        assert sent[0] == sent[1]
    wallets = [body["items"][0] for body in bodies if body.get("items") and "posted" in body["items"][0]]
    # The available amount is the same before and after the relay settles the order.
    assert [wallet["available"]["amount"] for wallet in wallets] == [500000, 500000 - orders[0]["total"]["amount"]]
    (listed,) = [body["items"] for body in bodies if body.get("items") and "lines" in body["items"][0]]
    assert [order["id"] for order in listed] == [orders[0]["id"]]
