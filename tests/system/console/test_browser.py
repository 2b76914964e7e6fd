"""The console in a real browser: by keyboard alone, with an unavailable store, checked by axe-core; and its
screenshots.
"""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import make_server

from app.clock import utc_now
from app.container import Container, assemble, open_stores
from app.http import create_app
from app.http.edge.overload import Refusal
from app.seed import seed_small_once
from config import Settings
from repositories.store import Store
from tests.apps import PASSWORD, Person, PlainHasher, embedded
from tests.http.console_pages import PAGES, TOKEN, FailingStore
from tests.system.console.browser import Browser, chromium

pytestmark = pytest.mark.proof
HERE = Path(__file__).parent
PICTURES = os.environ.get("QUARTET_SCREENSHOTS", "")
ENTER, SPACE = "\ue007", " "
SIZES = {"wide": 1280, "narrow": 320}
AXE = (
    "const done = arguments[0]; axe.run().then(found => done(found.violations.map(v => `${v.id}: ${v.nodes[0].html}`)))"
)


class Breaking:
    """A store that can be made unavailable."""

    def __init__(self, inner: Store) -> None:
        self._inner, self._dead = inner, FailingStore("documents")
        self.away = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dead if self.away else self._inner, name)


class World:
    """A seeded system with traffic, dead letters and a post in flight, and the address of its server."""

    def __init__(self, container: Container, documents: Breaking, handle: str) -> None:
        self.container, self.documents, self.handle = container, documents, handle
        self.app = create_app(container)
        self.server = make_server("127.0.0.1", 0, self.app, threaded=True)
        self.address = f"http://127.0.0.1:{self.server.port}"
        client = self.app.test_client()
        token = client.post("/api/v1/sessions", json={"login": handle, "password": PASSWORD}).get_json()["token"]
        self.reader = Person(client, token, {})

    def dead_letters(self) -> None:
        """Dead-letter an event of one of the reader's posts."""
        self.reader.publish("A post that fan-out cannot take")
        outbox, now = self.container.stores.documents.outbox, utc_now()
        for claim in outbox.claim(now=now, lease_until=now, limit=9):
            outbox.dead_letter(claim, reason="Unavailable: feeds is unavailable: no host answers", attempts=8, now=now)

    def traffic(self) -> None:
        for path in ("/feed", "/posts", "/products", f"/accounts/{self.handle}", "/notifications", "/wallet"):
            self.reader.get(path)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    settings = Settings(**embedded(tmp_path_factory.mktemp("console")), console_token=TOKEN)
    opened = open_stores(settings)
    opened.migrate()
    documents = Breaking(opened.documents)
    stores: Any = replace(opened, documents=documents)
    container = assemble(settings, stores, utc_now, PlainHasher())
    login = seed_small_once(container)()
    assert login
    made = World(container, documents, login.handle)
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    made.dead_letters()
    made.traffic()
    made.reader.publish("A post of a moment ago")
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()
    container.close()


@pytest.fixture(scope="module")
def browser(world: World) -> Iterator[Browser]:
    with chromium(world.address) as found:
        yield found


@pytest.fixture
def operator(browser: Browser, world: World) -> Iterator[Browser]:
    """A browser signed in by keyboard. Afterwards nothing may have been blocked, missing, or loaded from another
    host.
    """
    world.documents.away = False
    browser.look(1280, 900)
    browser.open("/console/sign-in")
    browser.driver.delete_all_cookies()
    browser.open("/console")
    browser.complaints()
    browser.tab_to("Token")
    browser.press(TOKEN, ENTER)
    browser.once(lambda: browser.run("return location.pathname") == "/console")
    yield browser
    assert browser.complaints() == []
    loaded = browser.run("return performance.getEntriesByType('resource').map(one => one.name)")
    assert [name for name in loaded if not name.startswith(world.address)] == []


def test_a_wrong_token_is_announced(browser: Browser) -> None:
    browser.driver.delete_all_cookies()
    browser.open("/console")
    browser.tab_to("Token")
    browser.press("wrong", ENTER)
    assert browser.text("[role=alert]") == "This is not the console's token."
    assert browser.run("return document.querySelector('#token').getAttribute('aria-invalid')") == "true"


def test_all_panels_are_read_and_the_skip_link_leads_past_the_menu(operator: Browser) -> None:
    operator.once(lambda: "Not read yet" not in operator.text("main"))
    assert operator.run("return document.querySelectorAll('[data-panel] [data-read]').length") == 6
    operator.open("/console/stores")
    operator.tab_to("Skip to content")
    operator.press(ENTER)
    assert operator.run("return document.activeElement.id") == "content"


def test_a_feed_is_explained_by_keyboard(operator: Browser, world: World) -> None:
    operator.tab_to("Feed")
    operator.press(ENTER)
    operator.tab_to("Handle of the reader")
    operator.press(world.handle, ENTER)
    text = operator.text("#scroll-feed")
    assert "A post of a moment ago" in text
    assert "in flight" in text
    assert "pushed" in text
    shown = operator.run("return [...document.querySelectorAll('#scroll-feed tbody code')].map(one => one.innerText)")
    assert shown == [item["post"]["id"] for item in world.reader.get("/feed", limit=20)["items"]]


def test_a_dead_letter_is_replayed_by_keyboard(operator: Browser, world: World) -> None:
    operator.open("/console/dead-letters?source=documents")
    operator.tab_to("Replay… PostPublished")
    operator.press(ENTER)
    operator.tab_to("Replay this event")
    operator.press(ENTER)
    assert operator.text(".done") == "1 event will be tried again."
    assert world.container.stores.documents.outbox.backlog().dead_lettered == 0
    world.dead_letters()


def test_updates_leave_the_focus_where_it_is_and_can_be_paused(operator: Browser) -> None:
    operator.open("/console/lags")
    operator.tab_to("0 of relational")
    operator.await_update("main")
    assert operator.focused() == "0 of relational"
    operator.open("/console/lags")
    operator.tab_to("Pause updates")
    operator.press(SPACE)
    assert operator.run("return document.activeElement.getAttribute('aria-pressed')") == "true"
    assert operator.text("#announcer") == "Updates are paused"
    operator.open("/console/stores")
    assert operator.run("return document.getElementById('pause').getAttribute('aria-pressed')") == "true"
    operator.tab_to("Pause updates")
    operator.press(SPACE)
    assert operator.text("#announcer") == "Updates go on"


def test_an_unavailable_store_is_announced_and_other_panels_continue(operator: Browser, world: World) -> None:
    assert "ok" in operator.text("#scroll-stores")
    world.documents.away = True
    assert operator.once(lambda: operator.run("return document.getElementById('announcer').innerText")) == (
        "documents: unavailable"
    )
    assert "no route" in operator.text("#scroll-stores")
    operator.once(lambda: "away" in operator.text("#scroll-outboxes"))
    operator.await_update("#cache")
    world.documents.away = False
    assert operator.once(
        lambda: operator.run("return document.getElementById('announcer').innerText") == "all stores are well"
    )


def test_a_busy_server_leaves_the_shown_data_marked_as_old(operator: Browser, world: World) -> None:
    operator.open("/console/stores")
    app: Any = world.app
    usual, refusal = app.wsgi_app, Refusal(app)
    app.wsgi_app = lambda environ, start: refusal(environ, start, "crowded")
    try:
        operator.once(lambda: operator.text("#announcer") == "The server is busy")
        assert "relational" in operator.text("#scroll-stores")
        assert operator.run("return document.getElementById('stores').dataset.old") == "yes"
    finally:
        app.wsgi_app = usual
    operator.once(lambda: operator.run("return document.getElementById('stores').dataset.old") is None)
    assert all("503" in complaint for complaint in operator.complaints())


def test_signing_out_ends_the_session(operator: Browser) -> None:
    operator.tab_to("Sign out")
    operator.press(ENTER)
    operator.once(lambda: operator.run("return location.pathname") == "/console/sign-in")
    operator.open("/console/feed")
    assert operator.text("h1") == "Sign in"


def every_page(world: World) -> list[str]:
    [dead, *_] = world.container.stores.documents.outbox.dead_letters(limit=1)
    more = (
        f"/feed?reader={world.handle}",
        "/dead-letters?source=documents",
        f"/dead-letters/documents/{dead.event.id}",
    )
    return [*PAGES, *more, f"/live/follow?reader={world.handle}", "/feed?reader=nobody", "/dead-letters/documents/x"]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_page_is_accessible(operator: Browser, world: World, axe: str, size: str, *, dark: bool) -> None:
    operator.look(SIZES[size], 900, dark=dark)
    for path in every_page(world):
        operator.open(f"/console{path}")
        operator.once(lambda: "Not read yet" not in operator.text("main"))
        operator.run(axe)
        assert operator.driver.execute_async_script(AXE) == [], path
        width = operator.run("return document.documentElement.scrollWidth")
        assert width <= SIZES[size], f"{path} is {width} wide"
    # Two of the pages are intentional errors.
    assert all("status of 40" in complaint for complaint in operator.complaints())


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("axe")
    if shutil.which("npm") is None:
        pytest.skip("npm is missing: install the packages nodejs and npm")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder)
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, capture_output=True, timeout=300, check=True)
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


def test_the_pictures_of_the_documentation_are_taken(operator: Browser, world: World, tmp_path: Path) -> None:
    """Saved in the folder `QUARTET_SCREENSHOTS`, after enough readings for the charts."""
    folder = Path(PICTURES) if PICTURES else tmp_path
    for _ in range(12 if PICTURES else 1):
        world.traffic()
        operator.await_update("#routes")
    for name, path, width, height, dark in (
        ("overview", "", 1280, 900, False),
        ("feed", f"/feed?reader={world.handle}", 1280, 700, False),
        ("dead-letters", "/dead-letters?source=documents", 1280, 420, True),
        ("narrow", "/stores", 360, 700, True),
    ):
        operator.look(width, height, dark=dark)
        operator.open(f"/console{path}")
        operator.once(lambda: "Not read yet" not in operator.text("main"))
        place = folder / f"console-{name}.png"
        assert operator.driver.save_screenshot(str(place))
        assert place.stat().st_size < 200_000
