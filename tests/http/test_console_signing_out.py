"""Signing out of the console, while copies of the cookie are used with other processes of the system."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

from flask.testing import FlaskClient

from app.clock import utc_now
from app.container import assemble, open_stores
from app.http import create_app
from tests.apps import PlainHasher, System
from tests.http.console_pages import HTMX, FailingStore, form_token, shown, signed_in

COOKIE = "quartet_console"
ALL = "/console/dead-letters/documents/all"


@contextmanager
def copied(client: FlaskClient, system: System, **stores: Any) -> Iterator[FlaskClient]:
    """A client with the same cookie, at another process of the system, in which `stores` replace its own."""
    cookie = client.get_cookie(COOKIE, path="/console")
    assert cookie
    settings = system.container.settings
    with closing(open_stores(settings)) as opened:
        container = assemble(settings, replace(opened, **stores), utc_now, PlainHasher())
        found = create_app(container).test_client()
        found.set_cookie(COOKIE, cookie.value, path="/console")
        yield found


def test_signing_out_ends_every_copy_of_the_cookie(guarded: System) -> None:
    client, another = signed_in(guarded), signed_in(guarded)
    token = form_token(client)
    with copied(client, guarded) as here, copied(client, guarded) as there, copied(another, guarded) as stays:
        shown(there.get("/console"))
        assert here.post("/console/sign-out", data={"form_token": token}).status_code == 303
        for copy in (client, there):
            assert copy.get("/console").headers["Location"] == "/console/sign-in"
            assert copy.get("/console/stores", headers=HTMX).status_code == 401
            assert copy.post(ALL, data={"form_token": token}).headers["Location"] == "/console/sign-in"
            assert "Token" in shown(copy.get("/console/sign-in"))
        shown(stays.get("/console"))


def test_without_the_relational_store_a_session_is_read_only(guarded: System) -> None:
    client = signed_in(guarded)
    token = form_token(client)
    with copied(client, guarded, relational=FailingStore("relational")) as there:
        assert "relational" in shown(there.get("/console/stores"))
        assert "Nothing was done" in shown(there.post(ALL, data={"form_token": token}), 503)
        answer = there.post("/console/sign-out", data={"form_token": token})
        assert "Other processes do not know" in shown(answer, 503)
        assert answer.headers["Set-Cookie"].startswith(f"{COOKIE}=;")
        with copied(client, guarded) as elsewhere:
            shown(elsewhere.get("/console"))
        # This process knows the sign-out without a store, so it refuses a copy of the cookie.
        there.set_cookie(COOKIE, str(getattr(client.get_cookie(COOKIE, path="/console"), "value", "")), path="/console")
        assert there.get("/console").status_code == 303


def test_a_cookie_without_a_session_id_is_refused(guarded: System) -> None:
    operators: Any = guarded.app.extensions["quartet-operators"]
    client = guarded.app.test_client()
    client.set_cookie(COOKIE, operators._cookies.dumps("S0meThing"), path="/console")
    assert client.get("/console").status_code == 303
