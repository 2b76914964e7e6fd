"""Measures bytes and CPU time of a page of 100 cards, plain and compressed, in one process on embedded stores.

A kept page is stored with its compressed forms, so a hit compresses nothing. A signed-in reader's page is compressed
each time it is sent. The text of the posts is drawn from the words of the documentation.
"""

import random
import statistics
import tempfile
import time
from pathlib import Path

from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder, run_wsgi_app

from config import Settings
from config.logs import configure
from tests.apps import BASE, System, embedded, running

ROUNDS, REQUESTS = 9, 50
PAGES = Path(__file__).parents[1] / "docs"
CODINGS = ("", "gzip", "zstd")


def main() -> None:
    configure("warning", "console")
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Settings(**embedded(Path(folder)), shared_seconds=600)) as system,
    ):
        write(system)
        token = str(system.person().token)
        for name, headers in (("kept", {}), ("signed in", {"Authorization": f"Bearer {token}"})):
            report(system, name, headers)


def write(system: System) -> None:
    draw = random.Random(1)  # noqa: S311  no secret
    words = " ".join(page.read_text(encoding="utf-8") for page in sorted(PAGES.glob("*.md"))).split()
    people = [system.person() for _ in range(10)]
    for n in range(100):
        people[n % 10].publish(" ".join(draw.choices(words, k=6))[:200], body=" ".join(draw.choices(words, k=50)))
    system.relay.drain()


def report(system: System, name: str, headers: dict[str, str]) -> None:
    """Alternate the codings, so that other load on the machine affects all of them."""
    found: dict[str, list[float]] = {coding: [] for coding in CODINGS}
    sizes = {coding: asked(system, coding, headers, 3)[0] for coding in CODINGS}
    for _ in range(ROUNDS):
        for coding in CODINGS:
            found[coding].append(asked(system, coding, headers, REQUESTS)[1])
    for coding, times in found.items():
        low, middle, high = statistics.quantiles(times, n=4)
        print(f"{name:10} {coding or 'plain':6} {sizes[coding]:7} bytes  {middle:6.0f} us ({low:.0f} to {high:.0f})")


def asked(system: System, coding: str, headers: dict[str, str], times: int) -> tuple[int, float]:
    """The size of the body, and the CPU time of this process per request in microseconds."""
    sent = {**headers, **({"Accept-Encoding": coding} if coding else {})}
    environs = [EnvironBuilder(f"{BASE}/posts?limit=100", headers=Headers(sent)).get_environ() for _ in range(times)]
    begun = time.process_time()
    for environ in environs:
        body, status, fields = run_wsgi_app(system.app.wsgi_app, environ)
    took = (time.process_time() - begun) / times * 1e6
    assert (status, fields.get("Content-Encoding", "")) == ("200 OK", coding)
    return len(b"".join(body)), took


if __name__ == "__main__":
    main()
