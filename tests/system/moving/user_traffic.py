"""A user who pays, writes, follows and signs in through a server, with a record of what was acknowledged."""

import http.client
import itertools
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from tests.apps import PASSWORD
from tests.system.live import Answer, Live

RICH = 1_000_000
# Seconds between two rounds, since the move and the engines run on the same machine.
PAUSE = 0.2
AGAIN = {0, 409, 429, 503}
# Limit of posts per person, so that a follow changes less than a move can copy, however long it takes.
MOST = 30


class UserTraffic:
    def __init__(self, live: Live) -> None:
        self.client = live.person()
        self.handle = self.client.handle
        money = {"amount": {"amount": RICH, "currency": "EUR"}}
        self.client.ask("POST", "/wallet/deposits", money, Idempotency_Key=uuid4().hex)
        self.paid: Counter[str] = Counter()
        # The titles of existing posts, by id.
        self.posts: dict[str, str] = {}
        self.followed: set[str] = set()
        # Tokens by the ids of their sessions, and the tokens of ended sessions.
        self.devices: dict[str, str] = {}
        self.ended: list[str] = []
        self.refused: Counter[int] = Counter()

    def work(self, others: Sequence["UserTraffic"], stop: threading.Event) -> None:
        for number, other in zip(itertools.count(1), itertools.cycle(others)):
            if stop.wait(PAUSE):
                return
            self._pay(other, number % 7 + 1)
            self._write(other, number)
            self._follow(other)
            self._look()
            if number % 5 == 0:
                self._sign_in_and_out()

    def _pay(self, other: "UserTraffic", amount: int) -> None:
        money = {"amount": amount, "currency": "EUR"}
        self.sent("POST", "/wallet/transfers", {"to": other.handle, "amount": money})
        self.paid[other.handle] += amount

    def _write(self, other: "UserTraffic", number: int) -> None:
        title = f"{self.handle} {number}"
        made = self.sent("POST", "/posts", {"title": title, "body": "Some words."})
        self.posts[made.body["post"]["id"]] = title
        if number % 4 == 0 or len(self.posts) > MOST:
            gone = next(iter(self.posts))
            self.sent("DELETE", f"/posts/{gone}", also=(404,))
            del self.posts[gone]
        # 404: its author may just have deleted it.
        for post_id in list(other.posts)[-1:]:
            self.sent("POST", f"/posts/{post_id}/comments", {"body": "Well said."}, also=(404,))

    def _follow(self, other: "UserTraffic") -> None:
        if other.handle in self.followed:
            self.sent("DELETE", f"/accounts/{other.handle}/follow")
            self.followed.remove(other.handle)
        else:
            self.sent("PUT", f"/accounts/{other.handle}/follow")
            self.followed.add(other.handle)

    def _look(self) -> None:
        titles = [item["post"]["title"] for item in self.sent("GET", "/feed?limit=100").body["items"]]
        assert len(titles) == len(set(titles)), titles

    def _sign_in_and_out(self) -> None:
        signed = self.sent("POST", "/sessions", {"login": self.handle, "password": PASSWORD})
        self.devices[signed.headers["location"].rpartition("/")[2]] = signed.body["token"]
        if len(self.devices) > 2:
            gone = next(iter(self.devices))
            self.sent("DELETE", f"/sessions/{gone}", also=(404,))
            self.ended.append(self.devices.pop(gone))
            self.check_sessions(self.ended[-1:], [*self.devices.values()][-1:])

    def check_sessions(self, ended: Sequence[str], known: Sequence[str]) -> None:
        own = self.client.token
        for tokens, status in ((ended, 401), (known, 200)):
            for self.client.token in tokens:
                self.sent("GET", "/accounts/me", only=status)
        self.client.token = own

    def sent(
        self, method: str, path: str, body: Any = None, *, also: Sequence[int] = (), only: int | None = None
    ) -> Answer:
        """Send a request; repeat it with the same key until its outcome is known. `also` are further good statuses."""
        headers = {"Idempotency_Key": uuid4().hex} if method == "POST" else {"If_Match": "*"}
        pause = threading.Event()
        while True:
            try:
                answer = self.client.send(method, path, body, **headers)
            except (OSError, http.client.HTTPException):
                answer = Answer(0, {}, None)
            if answer.status not in AGAIN:
                good = answer.status == only if only else answer.status < 300 or answer.status in also
                assert good, (method, path, answer)
                return answer
            self.refused[answer.status] += 1
            pause.wait(0.05)


def check(people: Sequence[UserTraffic]) -> None:
    """Check that everything acknowledged exists exactly once, and that feeds match their definition."""
    for one in people:
        gained = sum(other.paid[one.handle] for other in people)
        wallet = one.client.ask("GET", "/wallet")["items"][0]
        assert wallet["available"]["amount"] == RICH + gained - sum(one.paid.values())
        assert one.client.titles(f"/accounts/{one.handle}/posts") == _newest_first([one])
        shown = [other for other in people if other is one or other.handle in one.followed]
        found, expected = one.client.titles("/feed"), _newest_first(shown)
        assert found == expected, (len(found), len(expected), set(found) ^ set(expected))
        one.check_sessions(one.ended, [*one.devices.values()])


def _newest_first(people: Sequence[UserTraffic]) -> list[str]:
    posts = {post_id: title for one in people for post_id, title in one.posts.items()}
    return [posts[post_id] for post_id in sorted(posts, reverse=True)]
