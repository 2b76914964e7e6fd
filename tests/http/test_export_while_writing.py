"""An export while its owner continues to write: one change after each line that is sent."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from app.http.resources import export
from config import Settings
from tests.apps import ROLES, embedded, running
from tests.engines import Shared
from tests.http.world import EUR, ShiftedClock, World
from tests.system.real import KEYSPACE, real_urls

# The number of things of each kind before the export, how many are added meanwhile, and the size of a page.
EACH, WRITES, PAGE = 3, 3, 2
CENT = EUR | {"amount": 1}


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.engines)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    urls: dict[str, Any] = embedded(tmp_path)
    if request.param == "real":
        engines: Shared = request.getfixturevalue("engines")
        urls = real_urls(engines, "export", keyspace=KEYSPACE)
    slow: dict[str, Any] = {f"{role}_timeout": 10.0 for role in ROLES}
    clock = ShiftedClock()
    with running(Settings(**urls, **slow), clock) as system:
        yield World(system, clock, real=request.param == "real")


class ActiveAccount:
    """Ada's actions, and the names of everything that she has, by kind, as the answers told her."""

    def __init__(self, world: World) -> None:
        self.ada, self.bob = world.person().rich(10**6), world.person().rich(10**6)
        self.world = world
        self.lamp, self.shade = world.lamp(self.ada), world.lamp(self.bob)
        self.told: dict[str, list[str]] = {"product": [self.lamp], "balance": ["EUR"], "account": [self.id]}
        self.told["entry"] = [one["transfer_id"] for one in self.ada.get("/wallet/entries")["items"]]
        for act in self.acts * EACH:
            act()

    @property
    def id(self) -> str:
        return str(self.ada.account["id"])

    @property
    def acts(self) -> list[Callable[[], None]]:
        own = [self.post, self.comment, self.like, self.follow, self.block, self.offer, self.buy, self.pay]
        return [*own, self.gain, self.sell, self.noted]

    def note(self, kind: str, name: str) -> None:
        self.told.setdefault(kind, []).append(name)

    def post(self) -> None:
        self.note("post", self.ada.publish("Mine"))

    def comment(self) -> None:
        post = self.bob.publish("Of Bob")
        self.note("comment", post)
        self.ada.post(f"/posts/{post}/comments", {"body": "Well said."})

    def like(self) -> None:
        post = self.bob.publish("Of Bob")
        self.note("like", post)
        self.ada.put(f"/posts/{post}/like")

    def follow(self) -> None:
        other = self.world.person()
        self.ada.put(f"/accounts/{other.handle}/follow")
        self.note("following", other.account["id"])

    def gain(self) -> None:
        other = self.world.person()
        other.put(f"/accounts/{self.ada.handle}/follow")
        self.note("follower", other.account["id"])

    def block(self) -> None:
        other = self.world.person()
        self.ada.put(f"/accounts/{other.handle}/block")
        self.note("block", other.account["id"])

    def offer(self) -> None:
        self.note("product", self.world.lamp(self.ada))

    def buy(self) -> None:
        self.note("order", self.ada.pay("/orders", {"lines": [{"product_id": self.shade, "quantity": 1}]})["id"])

    def sell(self) -> None:
        self.note("order", self.bob.pay("/orders", {"lines": [{"product_id": self.lamp, "quantity": 1}]})["id"])

    def noted(self) -> None:
        """Add an activity to a notification, which moves it to the top."""
        posts = self.told["post"][:EACH]
        post = posts[len(self.told["entry"]) % len(posts)]
        self.world.person().put(f"/posts/{post}/like")
        self.world.drained()

    def pay(self) -> None:
        self.note("entry", self.ada.pay("/wallet/transfers", {"to": self.bob.handle, "amount": CENT})["id"])


def name_of(kind: str, value: Any) -> str:
    """The name by which `ActiveAccount` lists a thing."""
    names = {"comment": "post_id", "like": "post_id", "balance": "currency", "entry": "transfer_id"}
    if kind in {"following", "follower", "block"}:
        return str(value["account_id"])
    if kind == "account":
        return str(value["account"]["id"])
    return str(value[names.get(kind, "id")])


def test_everything_from_before_its_start_is_exported_once(world: World) -> None:
    active = ActiveAccount(world)
    told = {kind: list(names) for kind, names in active.told.items()}
    told["notification"] = [one["id"] for one in active.ada.get("/notifications", limit=100)["items"]]
    assert len(told["notification"]) > PAGE, "or no page of these follows another"
    sent = exported(active)
    end = sent.pop()
    assert end == {"kind": "end", "value": {"lines": len(sent)}}
    found = Counter((one["kind"], name_of(one["kind"], one["value"])) for one in sent)
    assert [one for one in ((kind, name) for kind, names in told.items() for name in names) if not found[one]] == []
    assert [one for one, times in found.items() if times > 1] == []
    known = active.told | {kind: [name for one, name in found if one == kind] for kind in ("session", "notification")}
    assert [(kind, name) for kind, name in found if name not in known[kind]] == [], "or somebody else's is in it"


def exported(active: ActiveAccount) -> list[Any]:
    acts = iter(active.acts * WRITES)
    with patch.object(export, "PAGE", PAGE):
        answer = active.ada.send("GET", "/accounts/me/export", buffered=False)
        body: Any = answer.response
        lines = []
        for line in body:
            lines.append(json.loads(line))
            next(acts, active.post)()
        answer.close()
    return lines
