"""Rate limits on requests, and on guessing passwords."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.http.edge import limiting
from config import Settings
from repositories.errors import Unavailable
from tests.apps import BASE, PASSWORD, System, embedded, running

# So slow that no token is refilled within a test.
SLOW = {"rate_per_second": 0.01, "rate_burst": 5}
Make = Callable[..., System]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with ExitStack() as systems:
        yield lambda **changes: systems.enter_context(running(Settings(**embedded(tmp_path) | changes)))


def answers(system: System, n: int, path: str = "/tags", **options: Any) -> list[TestResponse]:
    client = system.app.test_client()
    return [client.get(BASE + path, **options) for _ in range(n)]


def test_too_many_requests_of_one_address_are_refused(make: Make) -> None:
    found = answers(make(**SLOW), 7)
    assert [a.status_code for a in found] == [200] * 5 + [429] * 2
    refused = found[-1]
    assert refused.get_json(force=True)["code"] == "too_many_requests"
    assert refused.content_type == "application/problem+json"
    assert 0 < int(refused.headers["Retry-After"]) <= 100
    assert refused.headers["Cache-Control"] == "private, no-store"
    assert [a.headers["RateLimit"].split(";t=")[0] for a in found] == [
        f'"default";r={n}' for n in (4, 3, 2, 1, 0, 0, 0)
    ]
    assert {a.headers["RateLimit-Policy"] for a in found} == {'"default";q=5;w=500'}


@pytest.mark.parametrize("fast", [True, False])
def test_pages_that_are_kept_whole_are_limited_alike(make: Make, *, fast: bool) -> None:
    found = answers(make(**SLOW, fast_path=fast), 7)
    assert [a.status_code for a in found] == [200] * 5 + [429] * 2
    assert [a.headers["RateLimit"].split(";t=")[0] for a in found][:3] == [f'"default";r={n}' for n in (4, 3, 2)]


def test_an_account_is_limited_wherever_it_asks_from(make: Make) -> None:
    system = make(**SLOW | {"rate_burst": 20})
    ada, bob = system.person(), system.person()
    statuses = [
        ada.send("GET", "/accounts/me", environ_overrides={"REMOTE_ADDR": f"10.0.0.{n}"}).status_code for n in range(22)
    ]
    assert statuses == [200] * 20 + [429] * 2
    assert bob.get("/accounts/me")


def test_addresses_are_limited_apart_and_unknown_proxies_ignored(make: Make) -> None:
    system = make(**SLOW)
    for n in range(7):
        [answer] = answers(system, 1, headers={"X-Forwarded-For": f"10.1.1.{n}"})
    assert answer.status_code == 429
    assert answers(system, 1, environ_overrides={"REMOTE_ADDR": "10.0.0.9"})[0].status_code == 200


@pytest.mark.parametrize(
    ("proxies", "forwarded", "found"),
    [
        (0, "1.1.1.1", "9.9.9.9"),
        (1, "1.1.1.1", "1.1.1.1"),
        (1, "6.6.6.6, 1.1.1.1", "1.1.1.1"),
        (2, "6.6.6.6, 1.1.1.1, 2.2.2.2", "1.1.1.1"),
        (2, "2.2.2.2", "9.9.9.9"),
        (1, "", "9.9.9.9"),
        (1, "203.0.113.7:40001", "203.0.113.7"),
        (1, "::ffff:203.0.113.7", "203.0.113.7"),
        (1, "[::ffff:cb00:7107]:443", "203.0.113.7"),
        (1, "[2001:db8::1]:443", "2001:db8::"),
        (1, "2001:DB8:0:0:ffff::9", "2001:db8::"),
        (1, "2001:0db8:0000:0000:0000:0000:0000:0001%eth0", "2001:db8::"),
        (1, "2001:db8:0:1::1", "2001:db8:0:1::"),
        (1, "6.6.6.6,1.1.1.1:1 ", "1.1.1.1"),
        (1, "unknown", "9.9.9.9"),
        (1, "010.1.1.1", "9.9.9.9"),
        (1, "1.1.1.1, x\x00", "9.9.9.9"),
        (1, "[", "9.9.9.9"),
    ],
)
def test_the_address_of_the_client(proxies: int, forwarded: str, found: str) -> None:
    environ = {"REMOTE_ADDR": "9.9.9.9", "HTTP_X_FORWARDED_FOR": forwarded}
    assert limiting.address(environ, proxies, "X-Forwarded-For") == found


@pytest.mark.parametrize(
    ("proxies", "said", "found"),
    [
        (0, "for=1.1.1.1", "9.9.9.9"),
        (1, "", "9.9.9.9"),
        (1, "for=1.1.1.1", "1.1.1.1"),
        (1, 'FOR="1.1.1.1:80";proto=https', "1.1.1.1"),
        (1, 'for="[2001:db8::1]:443"', "2001:db8::"),
        (1, 'proto=https; for="[2001:DB8::1]"', "2001:db8::"),
        (1, "for=6.6.6.6, for=1.1.1.1", "1.1.1.1"),
        (1, "for=6.6.6.6, for=1.1.1.1, ,", "1.1.1.1"),
        (2, "for=6.6.6.6,for=1.1.1.1,for=2.2.2.2", "1.1.1.1"),
        (2, "for=2.2.2.2", "9.9.9.9"),
        # A quote that the client has not closed, and a forged element inside of quotes.
        (1, 'for="6.6.6.6, for=1.1.1.1', "1.1.1.1"),
        (1, 'for="6.6.6.6, for="[2001:db8::1]"', "2001:db8::"),
        (2, '", for="6.6.6.6, for="[2001:db8::1]", for=2.2.2.2', "2001:db8::"),
        (1, 'host="a;for=6.6.6.6";for=1.1.1.1', "1.1.1.1"),
        (1, 'host="a, for=6.6.6.6";for=1.1.1.1', "1.1.1.1"),
        (1, "for=unknown", "9.9.9.9"),
        (1, "for=_hidden", "9.9.9.9"),
        (1, "for=", "9.9.9.9"),
        (1, "1.1.1.1", "9.9.9.9"),
        (1, "for=6.6.6.6, proto=https", "9.9.9.9"),
        (1, '"' * 4001, "9.9.9.9"),
    ],
)
def test_the_address_of_the_client_by_the_standard_header(proxies: int, said: str, found: str) -> None:
    environ = {"REMOTE_ADDR": "9.9.9.9", "HTTP_FORWARDED": said, "HTTP_X_FORWARDED_FOR": "6.6.6.6, 6.6.6.6"}
    assert limiting.address(environ, proxies, "Forwarded") == found


def test_health_and_documentation_are_not_limited(make: Make) -> None:
    system = make(**SLOW)
    for path in ("/health/live", "/docs", "/openapi.json", "/metrics"):
        client = system.app.test_client()
        assert {client.get(path).status_code for _ in range(7)} == {200}


def test_without_a_limit_there_are_no_limit_fields(make: Make) -> None:
    found = answers(make(), 20)
    assert {a.status_code for a in found} == {200}
    assert not any("RateLimit" in a.headers for a in found)


def test_nothing_is_limited_while_the_limits_store_is_unavailable(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    system, asked = make(**SLOW, login_failures=1), []

    def away(*_: object, **__: object) -> None:
        asked.append(1)
        raise Unavailable("cache")

    monkeypatch.setattr(system.container.stores.limits, "take", away)
    assert {a.status_code for a in answers(system, 20)} == {200}
    assert len(asked) <= 2, "a store that is away is asked once a second at most"
    signed_in(system, "nobody", "wrong password", [401] * 5)


def signed_in(system: System, login: str, password: str, statuses: list[int], address: str = "127.0.0.1") -> None:
    client = system.app.test_client()
    body = {"login": login, "password": password}
    options: Any = {"json": body, "environ_overrides": {"REMOTE_ADDR": address}}
    assert [client.post(f"{BASE}/sessions", **options).status_code for _ in statuses] == statuses


def test_guessing_passwords_is_limited(make: Make) -> None:
    system = make(login_failures=3)
    ada, bob = system.person(), system.person()
    signed_in(system, ada.handle, "wrong password", [401] * 3 + [429] * 2)
    signed_in(system, ada.handle.upper(), PASSWORD, [429])
    signed_in(system, bob.handle, PASSWORD, [201])
    signed_in(system, ada.handle, PASSWORD, [201], address="10.0.0.1")


def test_signing_in_rightly_is_not_limited(make: Make) -> None:
    system = make(login_failures=3)
    ada = system.person()
    signed_in(system, ada.handle, "wrong password", [401] * 2)
    signed_in(system, ada.handle, PASSWORD, [201] * 10)


def test_guessing_is_limited_by_default(make: Make) -> None:
    signed_in(make(), "nobody", "wrong password", [401] * 10 + [429])
    signed_in(make(login_failures=0), "somebody", "wrong password", [401] * 20)


def test_all_names_of_an_account_share_a_limit(make: Make) -> None:
    system = make(login_failures=4)
    ada = system.person("ada")
    for login in ("ada", "ada@example.com", "ADA", "Ada@Example.com"):
        signed_in(system, login, "wrong password", [401])
    for login in ("ada", "ada@example.com", "ADA@EXAMPLE.COM"):
        signed_in(system, login, PASSWORD, [429])
    assert ada.get("/accounts/me"), "who is signed in stays so"


def test_an_address_is_limited_whatever_the_names(make: Make) -> None:
    system = make()
    ada = system.person()
    answered = [system.anybody().send("POST", "/sessions", json={"login": f"n{i}", "password": "x"}) for i in range(30)]
    assert [a.status_code for a in answered] == [401] * 20 + [429] * 10
    signed_in(system, ada.handle, PASSWORD, [429])
    signed_in(system, ada.handle, PASSWORD, [201], address="10.0.0.1")


def test_registrations_are_limited(make: Make) -> None:
    assert Settings().registrations == 200
    system = make(registrations=2)

    def registered(name: str, **environ: str) -> int:
        body = {"handle": name, "email": f"{name}@example.com", "password": PASSWORD, "display_name": name}
        return system.anybody().send("POST", "/accounts", json=body, environ_overrides=environ).status_code

    assert [registered(f"person_{n}") for n in range(4)] == [201, 201, 429, 429]
    assert registered("person_4", REMOTE_ADDR="10.0.0.1") == 201
