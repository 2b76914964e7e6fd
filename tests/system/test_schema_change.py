"""The type of a column changes while old and new processes serve, by the blocks in `docs/releases.md`."""

import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import psycopg
import pytest

from repositories.relational.migrations import head
from tests.engines.kernel import wait_until
from tests.engines.shared import Shared
from tests.system.live import ROOT, Client, Live, run
from tests.system.real import real_urls
from tests.system.test_extending import BLOCK, added

pytestmark = [pytest.mark.engines, pytest.mark.live, pytest.mark.proof]
PEOPLE, POSTS, COUNTERS = 2, 2, 2500
# The state before the change: the column is an INTEGER.
BEFORE = '''"""likes are counted in an INTEGER"""

from alembic import op

revision = "0100"
down_revision: str | None = "HEAD"


def upgrade() -> None:
    op.execute("ALTER TABLE post_counters ALTER COLUMN likes TYPE INTEGER")
'''
VERSIONS = "repositories/relational/migrations/versions"


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Sequence[str]:
    """Three versions of the code: the old one, the one that expands, and the one that contracts."""
    blocks = BLOCK.findall((Path(ROOT) / "docs" / "releases.md").read_text())
    assert [re.sub(r".*/", "", path)[:4] for path, *_ in blocks] == ["tabl", "0101", "0102", "0103"]
    made = []
    for number, applied in enumerate(([], blocks[:3], blocks)):
        tree = tmp_path_factory.mktemp(f"version-{number}")
        for name in ("app", "config"):
            (tree / name).symlink_to(Path(ROOT) / name)
        shutil.copytree(
            Path(ROOT) / "repositories", tree / "repositories", ignore=shutil.ignore_patterns("__pycache__")
        )
        (tree / VERSIONS / "0100_before.py").write_text(BEFORE.replace("HEAD", head()))
        for path, place, how, line, text in applied:
            added(tree / path, place, how, line, text)
        made.append(str(tree))
    return made


class ServersInTurn:
    """The servers that get requests, in turn. One that is taken out gets no more, like behind a proxy."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._busy: dict[int, int] = {}
        self._out: set[int] = set()
        self._turn = count()

    def put_in(self, port: int) -> None:
        with self._changed:
            self._busy[port] = 0

    def take_out(self, port: int) -> None:
        """Take a server out; returns after its running requests are answered."""
        with self._changed:
            self._out.add(port)
            assert self._changed.wait_for(lambda: not self._busy[port], 60)

    def begin(self) -> int:
        with self._changed:
            ports = sorted(self._busy.keys() - self._out)
            port = ports[next(self._turn) % len(ports)]
            self._busy[port] += 1
            return port

    def end(self, port: int) -> None:
        with self._changed:
            self._busy[port] -= 1
            self._changed.notify_all()


class LikingPerson:
    """A person who likes and unlikes posts until told to stop, and records the acknowledged likes."""

    def __init__(self, serving: ServersInTurn, token: str, posts: Sequence[str]) -> None:
        self.liked: set[str] = set()
        self.requests = 0
        self._serving = serving
        self._token = token
        self._posts = posts
        self._clients: dict[int, Client] = {}

    def go_on(self, over: threading.Event) -> None:
        """Raises `AssertionError` for an unsuccessful answer, and the errors of `Client` without an answer."""
        while not over.is_set():
            for post in self._posts:
                self._ask("DELETE" if post in self.liked else "PUT", f"/posts/{post}/like")
                self.liked ^= {post}
        for client in self._clients.values():
            client.close()

    def _ask(self, method: str, path: str) -> None:
        port = self._serving.begin()
        try:
            client = self._clients.setdefault(port, Client(port, self._token))
            client.ask(method, path)
            self.requests += 1
        finally:
            self._serving.end(port)


@pytest.fixture
def urls(engines: Shared) -> dict[str, str]:
    found = real_urls(engines, "change", {"relational"})
    return {name.upper(): str(value) for name, value in found.items()}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_a_column_type_changes_while_old_and_new_processes_serve(
    tmp_path: Path, trees: Sequence[str], urls: dict[str, str], stack: ExitStack
) -> None:
    old, expanding, contracting = trees
    serving, over = ServersInTurn(), threading.Event()

    def migrated(tree: str) -> str:
        done = run(tmp_path, "migrate", tree=tree, **urls)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def started(tree: str) -> Live:
        live = Live(tmp_path, tree=tree, WORKERS="1", THREADS="2", RELAY="external", **urls)
        stack.callback(live.close)
        serving.put_in(live.answering().port)
        return live

    migrated(old)
    sql = stack.enter_context(psycopg.connect(urls["RELATIONAL_URL"], autocommit=True))
    sql.execute("INSERT INTO post_counters SELECT gen_random_uuid(), n FROM generate_series(1, %s) AS n", (COUNTERS,))
    first = started(old)
    author = first.person("ada")
    posts = [author.publish(f"Post {number}") for number in range(POSTS)]
    fans = [LikingPerson(serving, first.person(f"fan{number}").token or "", posts) for number in range(PEOPLE)]
    pool = stack.enter_context(ThreadPoolExecutor(PEOPLE))
    stack.callback(over.set)
    working: list[Future[None]] = [pool.submit(fan.go_on, over) for fan in fans]

    def all_go_on() -> None:
        before = [fan.requests for fan in fans]
        later = [count + POSTS for count in before]
        assert wait_until(
            lambda: any(one.done() for one in working) or all(f.requests > n for f, n in zip(fans, later, strict=True)),
            60,
        )
        assert [one.exception() for one in working if one.done()] == []

    all_go_on()
    assert "0102 fill likes_total of existing rows" in migrated(expanding)
    second = started(expanding)
    all_go_on()
    serving.take_out(first.port)
    first.close()
    all_go_on()
    assert "0103 drop likes" in migrated(contracting)
    all_go_on()
    over.set()
    for one in working:
        one.result(60)
    for post in posts:
        likes = second.client(author.token).ask("GET", f"/posts/{post}")["stats"]["likes"]
        assert likes == sum(post in fan.liked for fan in fans)
    columns = sql.execute(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'post_counters'"
    )
    assert dict(columns.fetchall()) == {"post_id": "uuid", "likes_total": "bigint"}
    [(rows, total)] = sql.execute("SELECT count(*), sum(likes_total) FROM post_counters").fetchall()
    assert rows - POSTS == COUNTERS
    assert total == COUNTERS * (COUNTERS + 1) // 2 + sum(len(fan.liked) for fan in fans)
