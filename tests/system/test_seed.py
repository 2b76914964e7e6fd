"""The seed command: the same data every time, whole after any interruption, and honest when it verifies itself."""

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from app.container import Container
from app.events import PostDeleted, pack
from app.seed import SeededLogin, seed, seed_small_once
from app.seed.draws import shares
from app.seed.load import Loader
from app.seed.plan import CELEBRITY, Plan
from app.seed.report import Bars, Lines
from app.seed.sizes import Sizes, sizes
from app.seed.verify import Verifier
from app.seed.work import PAUSES, Outcome, Progress, Step, patiently
from config import Settings
from repositories.errors import Contention, Unavailable
from repositories.records import Account, Comment, Follow, Like, Post, PostRef, Product
from tests.apps import ROLES, embedded, running
from tests.contracts.relational_store import new_database
from tests.engines import Engines

TINY = Sizes(accounts=30, follows=300, products=12, posts=150, comments=120, likes=400)
KINDS = ("accounts", "follows", "products", "stock", "posts", "comments", "likes", "author timelines", "home timelines")
OPTIONS = [f"--{name}={getattr(TINY, name)}" for name in Sizes.__struct_fields__]
_seeds = count(100)


def settings(urls: dict[str, Any]) -> Settings:
    """Home timelines are cut in these tests, too."""
    return Settings(**urls, backfill_posts=20, feeds_retention_days=3650.0)


@pytest.fixture(scope="module", params=["embedded", pytest.param("engines", marks=pytest.mark.engines)])
def container(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    urls = embedded(tmp_path_factory.mktemp("seed"))
    if request.param == "engines":
        urls = real(request.getfixturevalue("engines"))
    with running(settings(urls)) as system:
        yield system.container


def real(engines: Engines) -> dict[str, str]:
    own = f"seed_{uuid4().hex[:12]}"
    return {
        "relational_url": new_database(engines.postgres()),
        "documents_url": engines.mongo().url.replace("/quartet?", f"/{own}?"),
        "feeds_url": engines.cassandra().url.replace("/quartet", f"/{own}"),
        "sessions_url": engines.sessions().url,
        "cache_url": engines.cache().url,
    }


@pytest.fixture
def number() -> int:
    """A seed that no other test of this run uses: its data stands beside theirs."""
    return next(_seeds)


@pytest.fixture
def plan(number: int) -> Plan:
    return Plan(TINY, seed=number)


class Interrupted(Progress):
    """Ctrl-C after some batches of one step."""

    def __init__(self, kind: str, batches: int) -> None:
        self._kind = kind
        self._left = batches

    def advance(self, step: Step, rows: int) -> None:
        if step.kind == self._kind:
            self._left -= 1
        if not self._left:
            raise KeyboardInterrupt


def load(container: Container, plan: Plan, progress: Progress | None = None) -> list[Outcome]:
    loader = Loader(container, plan, container.hasher.hash("secret"))
    return loader.load(batch=10, concurrency=3, progress=progress or Progress())


def differences(container: Container, plan: Plan) -> list[str]:
    return list(Verifier(container, plan).differences(concurrency=3))


def command(container: Container, *arguments: str) -> Result:
    return CliRunner().invoke(seed, arguments, obj=lambda: nullcontext(container))


Everything = dict[str, list[Any]]


def everything(plan: Plan) -> Everything:
    people, posts = range(plan.sizes.accounts), range(plan.sizes.posts)
    accounts: list[Account] = [plan.account(k) for k in people]
    follows: list[Follow] = [follow for k in people for follow in plan.follows(k)]
    products: list[Product] = [plan.product(k) for k in range(plan.sizes.products)]
    written: list[Post] = [plan.post(k) for k in posts]
    comments: list[Comment] = [comment for k in posts for comment in plan.comments(k)]
    likes: list[Like] = [like for k in posts for like in plan.likes(k)]
    homes: list[PostRef] = [ref for k in people for ref in plan.home(k)]
    return {
        "accounts": accounts,
        "follows": follows,
        "products": products,
        "posts": written,
        "comments": comments,
        "likes": likes,
        "homes": homes,
    }


def test_the_same_seed_gives_the_same_data_and_another_gives_other_data() -> None:
    one, again, other = (everything(Plan(TINY, seed=n)) for n in (1, 1, 2))
    assert one == again
    for kind in ("accounts", "products", "posts"):
        assert not {thing.id for thing in one[kind]} & {thing.id for thing in other[kind]}
    assert not {a.handle for a in one["accounts"]} & {a.handle for a in other["accounts"]}


def test_another_process_gives_the_same_data() -> None:
    code = "from tests.system.test_seed import *; print(everything(Plan(TINY)))"
    found = {
        subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(found) == 1


def test_accounts_do_not_depend_on_how_many_posts_there_are() -> None:
    few, many = everything(Plan(TINY)), everything(Plan(replace(TINY, posts=400, comments=9, likes=9)))
    for kind in ("accounts", "follows", "products"):
        assert few[kind] == many[kind]


def test_counts_are_exact() -> None:
    found = everything(Plan(TINY))
    for name in Sizes.__struct_fields__:
        assert len(found[name]) == getattr(TINY, name)
    assert len({(f.follower, f.followee) for f in found["follows"]}) == TINY.follows
    assert len({(like.account_id, like.post_id) for like in found["likes"]}) == TINY.likes
    assert all(follow.follower != follow.followee for follow in found["follows"])


def test_everything_is_within_the_bounds_of_the_api() -> None:
    plan = Plan(sizes("medium"), seed=10**9)
    handles = {plan.handle(k) for k in range(plan.sizes.accounts)}
    assert len(handles) == plan.sizes.accounts
    assert all(re.fullmatch(r"[a-z]+_[a-z]+_[a-z]{4}_\d+", handle) and len(handle) <= 30 for handle in handles)
    assert re.fullmatch(r"[a-z]+_[a-z]+_12", Plan(sizes()).handle(12))
    for post in (plan.post(k) for k in range(2000)):
        assert len(post.title) <= 200
        assert len(post.body) <= 20_000
        assert len(post.tags) == len(set(post.tags)) <= 10


def test_time_runs_forwards() -> None:
    plan = Plan(sizes())
    found = everything(plan)
    joined = {account.id: account.created_at for account in found["accounts"]}
    posted = {post.id: post.created_at for post in found["posts"]}
    ids = [post.id for post in found["posts"]]
    assert ids == sorted(ids)
    assert all(joined[post.author_id] < post.created_at < plan.until for post in found["posts"])
    assert all(max(joined[f.follower], joined[f.followee]) < f.since < plan.until for f in found["follows"])
    assert all(posted[like.post_id] <= like.at <= plan.until for like in found["likes"])
    for k in range(plan.sizes.posts):
        times = [comment.created_at for comment in plan.comments(k)]
        assert times == sorted(times)


def test_popularity_is_skewed_as_in_life() -> None:
    plan = Plan(sizes(accounts=2000, posts=4000, follows=60_000))
    followers = plan.follower_counts
    assert followers[CELEBRITY] > 0.8 * plan.sizes.accounts
    assert followers[1] > 5 * sorted(followers)[1000]
    assert sum(sorted(followers)[-200:]) > 0.3 * plan.sizes.follows
    posts = sorted(len(of) for of in plan.posts_of)
    assert sum(posts[-400:]) > 0.4 * plan.sizes.posts
    likes = sorted(plan.like_counts)
    assert likes[-1] > 20 * max(1, likes[2000])


def test_posts_come_in_bursts() -> None:
    plan = Plan(sizes())
    hours: dict[datetime, int] = {}
    for k in range(plan.sizes.posts):
        hour = plan.posted(k).replace(minute=0, second=0, microsecond=0)
        hours[hour] = hours.get(hour, 0) + 1
    assert max(hours.values()) > 10 * plan.sizes.posts / (60 * 24)


@pytest.mark.parametrize(
    ("total", "weights", "most"), [(10, [5.0, 1.0, 1.0], 4), (0, [1.0], 0), (7, [1.0] * 3, 9), (6, [9.0, 0.1], 3)]
)
def test_shares_add_up(total: int, weights: list[float], most: int) -> None:
    found = shares(total, weights, most=most)
    assert sum(found) == total
    assert max(found) <= most


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fit"):
        shares(5, [1.0], most=4)
    with running(settings(embedded(tmp_path))) as system:
        for options in (["--accounts=1"], ["--accounts=3", "--follows=7"], ["--posts=0", "--comments=1"]):
            assert command(system.container, *options).exit_code == 2
        assert "future" in command(system.container, "--until=2100-01-01").output


def test_everybody_may_follow_and_like_everything(container: Container, number: int) -> None:
    full = Plan(Sizes(accounts=4, follows=12, products=0, posts=3, comments=0, likes=12), seed=number)
    load(container, full)
    assert differences(container, full) == []


def test_accounts_without_anything(container: Container, number: int) -> None:
    bare = Plan(Sizes(accounts=2, follows=0, products=0, posts=0, comments=0, likes=0), seed=number)
    load(container, bare)
    assert differences(container, bare) == []


def test_what_is_loaded_is_what_was_planned(container: Container, plan: Plan) -> None:
    outcomes = load(container, plan)
    assert tuple(outcome.kind for outcome in outcomes) == KINDS
    assert all(outcome.rows == outcome.written > 0 for outcome in outcomes)
    assert differences(container, plan) == []


def test_running_again_writes_nothing(container: Container, plan: Plan) -> None:
    load(container, plan)
    assert [outcome.kind for outcome in load(container, plan) if outcome.written] == []
    assert differences(container, plan) == []


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_load_goes_on(container: Container, plan: Plan, kind: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        load(container, plan, Interrupted(kind, batches=2))
    assert differences(container, plan) != []
    outcomes = {outcome.kind: outcome for outcome in load(container, plan)}
    before = KINDS[: KINDS.index(kind)]
    assert not any(outcomes[name].written for name in before)
    assert outcomes[kind].written < outcomes[kind].rows
    assert differences(container, plan) == []


def test_a_batch_that_broke_half_way_is_made_whole(
    container: Container, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = container.stores.feeds
    whole = store.load

    def half(authors: Any, homes: Any) -> None:
        authors, homes = list(authors), list(homes)
        whole(authors, homes[: len(homes) // 2])
        if homes:
            raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(store, "load", half)
        with pytest.raises(RuntimeError, match="power cut"):
            load(container, plan)
    load(container, plan)
    assert differences(container, plan) == []


def test_an_interrupted_load_leaves_the_same_files_as_a_whole_one(tmp_path: Path) -> None:
    found = set()
    for stops in ((), KINDS):
        folder = tmp_path / f"stops-{len(stops)}"
        with running(settings(embedded(folder))) as system:
            for kind in stops:
                with pytest.raises(KeyboardInterrupt):
                    load(system.container, Plan(TINY), Interrupted(kind, batches=1))
            load(system.container, Plan(TINY))
        with closing(sqlite3.connect(folder / "quartet.db")) as file:
            found.add(tuple(sorted(line for line in file.iterdump() if "sqlite_sequence" not in line)))
    assert len(found) == 1


def test_two_data_sets_stand_side_by_side(container: Container) -> None:
    plans = [Plan(replace(TINY, accounts=accounts), seed=seed) for accounts, seed in ((30, 1), (31, 1), (30, 2))]
    for plan in plans:
        load(container, plan)
    assert [differences(container, plan) for plan in plans] == [[], [], []]


def test_counts_that_were_cached_on_the_way_are_dropped(container: Container, plan: Plan) -> None:
    with pytest.raises(KeyboardInterrupt):
        load(container, plan, Interrupted("accounts", batches=3))
    celebrity = plan.account_ids[CELEBRITY]
    assert container.counters.accounts([celebrity])[celebrity].followers == 0
    load(container, plan)
    assert container.counters.accounts([celebrity])[celebrity].followers == plan.follower_counts[CELEBRITY]


def _delete_post(container: Container, plan: Plan) -> str:
    ref = plan.refs[77]
    now = container.clock()
    event = pack(container.ids(), PostDeleted(ref.post_id, ref.author_id), about=ref.post_id, at=now)
    container.stores.documents.posts.delete(ref.post_id, event, if_version=1)
    return f"post {ref.post_id}: missing"


def _count_a_like_more(container: Container, plan: Plan) -> str:
    k = next(k for k in range(TINY.posts) if plan.like_counts[k] < TINY.accounts)
    stranger = next(a for a in range(TINY.accounts) if a not in plan.fans(k))
    with container.stores.relational.transaction() as tx:
        tx.likes.like(Like(plan.account_ids[stranger], plan.refs[k].post_id, plan.until))
    return f"likes of post {plan.refs[k].post_id}: {plan.like_counts[k] + 1} instead of {plan.like_counts[k]}"


def _take_a_like(container: Container, plan: Plan) -> str:
    k = next(k for k in range(TINY.posts) if plan.like_counts[k])
    like = plan.likes(k)[0]
    with container.stores.relational.transaction() as tx:
        tx.likes.unlike(like.account_id, like.post_id)
    return f"like by {like.account_id} of {like.post_id}: missing"


def _unfollow(container: Container, plan: Plan) -> str:
    follow = plan.follows(3)[0]
    with container.stores.relational.transaction() as tx:
        tx.graph.unfollow(follow.follower, follow.followee)
    return f"follow by {follow.follower} of {follow.followee}: missing"


def _rename(container: Container, plan: Plan) -> str:
    account = plan.account(5)
    with container.stores.relational.transaction() as tx:
        tx.accounts.replace(replace(account, display_name="Somebody", version=2), if_version=1)
    return f"account {account.id}: "


def _sell(container: Container, plan: Plan) -> str:
    with container.stores.relational.transaction() as tx:
        tx.stock.put(plan.product_ids[2], 10_000)
    return f"stock of product {plan.product_ids[2]}: 10000 instead of {plan.stock(2)}"


def _comment(container: Container, plan: Plan) -> str:
    k = next(k for k in range(TINY.posts) if plan.comment_counts[k])
    number = plan.comment_counts[k] + 1
    extra = Comment(plan.refs[k].post_id, number, plan.account_ids[0], "Not planned.", plan.until)
    container.stores.documents.comments.load([extra])
    return f"comment on post {extra.post_id}, {number}: not planned"


def _lose_a_delivery(container: Container, plan: Plan) -> str:
    owner = next(k for k in range(TINY.accounts) if plan.home_length(k) > 1)
    ref = plan.home(owner)[1]
    container.stores.feeds.retract(ref, [plan.account_ids[owner]], container.clock())
    return f"home feed of {plan.account_ids[owner]}: differs"


def _lose_an_own_post(container: Container, plan: Plan) -> str:
    ref = plan.refs[0]
    container.stores.feeds.remove_from_author(ref, container.clock())
    return f"posts of {ref.author_id}: differs"


PLANTED = (
    _delete_post,
    _count_a_like_more,
    _take_a_like,
    _unfollow,
    _rename,
    _sell,
    _comment,
    _lose_a_delivery,
    _lose_an_own_post,
)


@pytest.mark.parametrize("planted", PLANTED)
def test_verify_finds_what_differs(
    container: Container, plan: Plan, number: int, planted: Callable[[Container, Plan], str]
) -> None:
    load(container, plan)
    line = planted(container, plan)
    found = differences(container, plan)
    assert [one for one in found if one.startswith(line)], found


def test_the_command_loads_verifies_and_reports(container: Container, number: int) -> None:
    done = command(container, f"--seed={number}", *OPTIONS, "--verify", "--batch=50")
    assert done.exit_code == 0, done.output
    assert "home timelines: " in done.output
    assert "rows/s" in done.output
    assert "everything is as planned" in done.output
    again = command(container, f"--seed={number}", *OPTIONS)
    assert "120 were there" in again.output


def test_the_command_fails_when_something_differs(container: Container, plan: Plan, number: int) -> None:
    load(container, plan)
    line = _rename(container, plan)
    failed = command(container, f"--seed={number}", *OPTIONS, "--verify")
    assert failed.exit_code == 1
    assert line in failed.output
    assert "1 things are not as planned" in failed.output


def test_a_terminal_gets_a_bar_for_each_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running(settings(embedded(tmp_path))) as system, closing(Bars(str)) as bars:
        load(system.container, Plan(TINY), bars)
    shown = capsys.readouterr().out
    assert [kind for kind in KINDS if kind not in shown] == []
    assert f"{TINY.likes}/{TINY.likes}" in shown


def test_ctrl_c_says_how_to_go_on(container: Container, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    options = [f"--seed={number}", *OPTIONS, "--verify"]
    with monkeypatch.context() as patch:
        patch.setattr(Lines, "advance", Interrupted("posts", batches=1).advance)
        stopped = command(container, *options)
    assert stopped.exit_code == 130
    assert "goes on from here" in stopped.output
    assert command(container, *options).exit_code == 0


def test_only_if_empty(tmp_path: Path) -> None:
    with running(settings(embedded(tmp_path))) as system:
        for _ in range(2):
            done = command(system.container, *OPTIONS, "--only-if-empty")
            assert "sign in as" in done.output
        assert "nothing done" in command(system.container, *OPTIONS, "--seed=2", "--only-if-empty").output


def test_production_wants_a_password_of_its_own(tmp_path: Path) -> None:
    with running(replaced(settings(embedded(tmp_path)), env="production")) as system:
        assert command(system.container, *OPTIONS).exit_code == 2
        assert command(system.container, *OPTIONS, "--password=another one").exit_code == 0
        assert seed_small_once(system.container) is None


def replaced(known: Settings, **changes: Any) -> Settings:
    return Settings(**{**{name: getattr(known, name) for name in Settings.__dataclass_fields__}, **changes})


class TestFirstStart:
    @pytest.fixture
    def system(self, tmp_path: Path) -> Iterator[Any]:
        with running(replaced(Settings(), **embedded(tmp_path))) as system:
            yield system

    def test_gives_an_account_to_sign_in_with(self, system: Any, capsys: pytest.CaptureFixture[str]) -> None:
        login = seed_small_once(system.container)
        assert capsys.readouterr().out == ""
        assert isinstance(login, SeededLogin)
        body = {"login": login.handle, "password": login.password}
        assert system.anybody().post("/sessions", body, 201)["token"]
        assert differences(system.container, Plan(sizes())) == []

    def test_loads_once(self, system: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        login = seed_small_once(system.container)
        _delete_post(system.container, Plan(sizes()))
        monkeypatch.setattr(Loader, "load", None)
        assert seed_small_once(system.container) == login

    def test_goes_on_after_an_interruption(self, system: Any) -> None:
        with pytest.raises(KeyboardInterrupt):
            load(system.container, Plan(sizes()), Interrupted("author timelines", batches=2))
        seed_small_once(system.container)
        assert differences(system.container, Plan(sizes())) == []

    def test_does_not_tell_a_password_that_was_changed(self, system: Any) -> None:
        login = seed_small_once(system.container)
        assert login is not None
        with system.container.stores.relational.transaction() as tx:
            account = system.container.stores.relational.accounts.by_handle(login.handle)
            tx.accounts.set_password(account.id, "another")
        assert seed_small_once(system.container) is None


def test_a_store_that_stumbles_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("app.seed.work.time.sleep", pauses.append)
    answers: list[Exception] = [Contention("deadlock"), Unavailable("feeds")]

    def action() -> str:
        if answers:
            raise answers.pop()
        return "done"

    assert patiently(action) == "done"
    assert pauses == list(PAUSES[:2])
    answers.extend(Unavailable("feeds") for _ in range(len(PAUSES) + 1))
    with pytest.raises(Unavailable):
        patiently(action)


def test_until_moves_everything(number: int) -> None:
    earlier = Plan(TINY, seed=number, until=datetime(2026, 3, 1, tzinfo=UTC))
    assert max(post.created_at for post in everything(earlier)["posts"]) < earlier.until


def test_roles_are_named_as_the_settings_name_them(container: Container, plan: Plan) -> None:
    assert {step.role for step in Loader(container, plan, "-").steps()} <= set(ROLES)
