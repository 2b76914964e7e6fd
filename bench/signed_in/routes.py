"""The routes that are measured: their requests, their ways and their goals.

A way names what serves (`ours`, `before`, `peer`, `hello`), and after a colon the variant of the route's requests, if
there are several.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from bench.signed_in.asking import Answer, Request, ask
from bench.signed_in.load import NOTIFIED
from bench.signed_in.world import World

PAGE = 20
LAST = 10
WALKERS = 20
API = "/api/v1"
FEED = {"ours": f"{API}/feed", "before": f"{API}/feed", "peer": "/feed"}
Builder = Callable[[World, str], list[Request]]


class Goal(Struct, frozen=True):
    """A bound on the ratio of a way to another: of requests per second (`rate`) or CPU time per request (`busy`)."""

    way: str
    other: str
    of: Literal["rate", "busy"]
    least: float = 0.0
    most: float = 0.0

    def __str__(self) -> str:
        return f"at least {self.least:.2f}" if self.least else f"at most {self.most:.2f}" if self.most else "none"


class Route(Struct, frozen=True):
    """A route. With `once`, each reader sends one request per round, instead of as many as the server takes.

    Then the variant of a way sets the state before the round: `forgotten` removes everything about the readers from the
    cache; `dormant` and `waking` put the readers into that state; for `news` all readers have just posted.
    """

    name: str
    ways: Mapping[str, Builder]
    goals: Sequence[Goal]
    once: bool = False


def hello(_world: World, _who: str) -> list[Request]:
    return [Request("/hello")]


def first(world: World, who: str) -> list[Request]:
    """The first page of each reader. Its content is checked."""
    return [_checked(world, who, n, Request(FEED[who], world.town.token(n)), 0)[0] for n in _readers(world)]


def by_author(world: World, who: str) -> list[Request]:
    path = f"{FEED[who]}/by-author"
    return [_checked(world, who, n, Request(path, world.town.token(n)), 0)[0] for n in _readers(world)]


def unchanged(world: World, who: str) -> list[Request]:
    """Requests with the entity tag of the first page. Empty if there is none, or if it is not answered by 304."""
    found = []
    for request in first(world, who):
        tag = ask(world.served[who].address, request).headers.get("etag", "")
        again = Request(request.path, request.token, tag)
        if not tag or ask(world.served[who].address, again).status != 304:
            return []
        found.append(again)
    return found


def nothing_new(world: World, who: str) -> list[Request]:
    """Requests for posts above the newest one of the first page."""
    found = []
    for request in first(world, who):
        above = Request(f"{request.path}?after={_body(world, who, request)['prev']}", request.token)
        assert _body(world, who, above)["items"] == []
        found.append(above)
    return found


def further(world: World, who: str) -> list[Request]:
    """Pages 2 to 10 of some readers."""
    found = []
    name = "before" if who == "peer" else "cursor"
    for n in range(min(WALKERS, world.town.plan.readers)):
        request, answer = _checked(world, who, n, Request(FEED[who], world.town.token(n)), 0)
        for page in range(1, LAST):
            if answer.body["next"] is None:
                break
            request = Request(f"{FEED[who]}?{name}={answer.body['next']}", request.token)
            request, answer = _checked(world, who, n, request, page)
            found.append(request)
    return found


def post(world: World, who: str) -> list[Request]:
    refs = world.town.refs[-100:]
    return [_good(world, who, f"/posts/{refs[n % len(refs)].post_id}", n) for n in _readers(world)]


def posts(world: World, who: str) -> list[Request]:
    return [_good(world, who, "/posts", n) for n in _readers(world)]


def profile(world: World, who: str) -> list[Request]:
    return [_good(world, who, f"/accounts/person_{n + 1}", n) for n in _readers(world)]


def notifications(world: World, who: str) -> list[Request]:
    return [_good(world, who, "/notifications", n) for n in _readers(world)[::NOTIFIED]]


def no_notifications(world: World, _who: str) -> list[Request]:
    return [Request(f"{API}/notifications", world.town.token(n)) for n in _readers(world)[1::NOTIFIED]]


def _signed(name: str, what: Builder, least: float) -> Route:
    goals = [Goal("ours", "hello", "rate", least=least), Goal("ours", "before", "busy")]
    return Route(name, {"hello": hello, "before": what, "ours": what}, goals)


def _in_state(state: str, who: str) -> Route:
    ways = {f"before:{state}": first, "ours": first, f"ours:{state}": first}
    goals = [Goal(f"ours:{state}", f"before:{state}", "busy"), Goal(f"ours:{state}", "ours", "busy")]
    return Route(f"first page of {who}", ways, goals, once=True)


def routes(join: float) -> dict[str, Route]:
    """All routes. `join` is the goal for the rate of the home feed as a multiple of that of the join."""
    rest = "pages 2 to 10"
    return {
        "home": Route(
            "home feed, first page of 20",
            {"hello": hello, "peer": first, "peer:by author": by_author, "before": first, "ours": first},
            [
                Goal("ours", "before", "busy", most=0.1),
                Goal("ours", "peer", "rate", least=join),
                Goal("ours", "peer:by author", "rate"),
                Goal("ours", "peer", "busy"),
            ],
        ),
        "poll": Route(
            "a poll that finds nothing new",
            {"hello": hello, "before:after": nothing_new, "ours": first, "ours:after": nothing_new}
            | {"ours:If-None-Match": unchanged},
            [Goal("ours:after", "ours", "busy", most=1 / 3), Goal("ours:If-None-Match", "ours", "busy", most=1 / 3)],
        ),
        "pages": Route(
            rest,
            {f"peer:{rest}": further, f"before:{rest}": further, "ours": first, f"ours:{rest}": further},
            [Goal(f"ours:{rest}", "ours", "busy", most=1.5), Goal(f"ours:{rest}", f"before:{rest}", "busy")],
        ),
        "forgotten": Route(
            "first page of a reader of whom the cache has nothing",
            {"before": first, "ours": first, "ours:forgotten": first},
            [Goal("ours:forgotten", "before", "busy", most=1 / 3), Goal("ours:forgotten", "ours", "busy")],
            once=True,
        ),
        "dormant": _in_state("dormant", "a reader who was put to sleep, until it is awake again"),
        "waking": _in_state("waking", "a reader whose timeline is being filled"),
        # After all other feeds, since it adds posts.
        "news": Route(
            "first page of a reader who has just posted, as others have",
            {"before:news": first, "ours:news": first},
            [Goal("ours:news", "before:news", "busy"), Goal("ours:news", "before:news", "rate")],
            once=True,
        ),
        "post": _signed("one post", post, 0.30),
        "list": _signed("list of 20 posts", posts, 0.15),
        "profile": _signed("profile", profile, 0.25),
        "notifications": _signed("notifications, 20 of them", notifications, 0.12),
        "no notifications": _signed("notifications, none", no_notifications, 0.12),
    }


def _home_on(where: str, least: float) -> Route:
    goals = [Goal("ours", "before", "rate", least=least), Goal("ours", "before", "busy")]
    return Route(f"home feed on {where}", {"hello": hello, "before": first, "ours": first}, goals)


# The routes for systems in which one store has all roles.
ON_ONE = {"embedded": _home_on("the embedded default", 3.0), "postgresql": _home_on("PostgreSQL alone", 0.0)}


def _readers(world: World) -> range:
    return range(world.town.plan.readers)


def _checked(world: World, who: str, reader: int, request: Request, page: int) -> tuple[Request, Answer]:
    """Send a request, check that the answer is the reader's page of this number, and return both."""
    answer = ask(world.served[who].address, request)
    assert answer.status == 200, (who, request, answer)
    expected = world.town.home(reader, PAGE * (page + 1))[PAGE * page :]
    assert [item["post"]["id"] for item in answer.body["items"]] == [str(ref.post_id) for ref in expected], who
    return request, answer


def _good(world: World, who: str, path: str, reader: int) -> Request:
    request = Request(API + path, world.town.token(reader))
    body = _body(world, who, request)
    assert len(body.get("items", range(PAGE))) == PAGE, (who, path)
    return request


def _body(world: World, who: str, request: Request) -> dict[str, list[object]]:
    answer = ask(world.served[who].address, request)
    assert answer.status == 200, (who, request, answer)
    body: dict[str, list[object]] = answer.body
    return body
