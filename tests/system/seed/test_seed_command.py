"""The seed command, and seeding at the first start."""

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.container import Container
from app.seed import SeededLogin, seed_small_once
from app.seed.load import Loader
from app.seed.plan import Plan
from app.seed.report import ProgressBars, ProgressLines
from app.seed.sizes import sizes
from app.seed.work import PAUSES, patiently
from config import Settings
from repositories.errors import Contention, Unavailable
from tests.apps import ROLES, System, embedded, running
from tests.system.seed.damage import delete_post, rename
from tests.system.seed.loads import KINDS, OPTIONS, TINY, Interrupted, command, differences, everything, load, settings


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
    line = rename(container, plan)
    failed = command(container, f"--seed={number}", *OPTIONS, "--verify")
    assert failed.exit_code == 1
    assert line in failed.output
    assert "1 things are not as planned" in failed.output


def test_a_terminal_gets_a_bar_for_each_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = settings(embedded(tmp_path))
    with running(own) as system, closing(ProgressBars(own.engines)) as bars:
        load(system.container, Plan(TINY), bars)
    shown = capsys.readouterr().out
    assert [kind for kind in KINDS if kind not in shown] == []
    assert f"{TINY.likes}/{TINY.likes}" in shown


def test_ctrl_c_says_how_to_go_on(container: Container, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    options = [f"--seed={number}", *OPTIONS, "--verify"]
    with monkeypatch.context() as patch:
        patch.setattr(ProgressLines, "advance", Interrupted("posts", batches=1).advance)
        stopped = command(container, *options)
    assert stopped.exit_code == 130
    assert "goes on from here" in stopped.output
    assert command(container, *options).exit_code == 0


def test_only_if_empty_loads_once(tmp_path: Path) -> None:
    with running(settings(embedded(tmp_path))) as system:
        for _ in range(2):
            done = command(system.container, *OPTIONS, "--only-if-empty")
            assert "sign in as" in done.output
        assert "nothing done" in command(system.container, *OPTIONS, "--seed=2", "--only-if-empty").output


def test_production_requires_an_explicit_password(tmp_path: Path) -> None:
    with running(replaced(settings(embedded(tmp_path)), env="production")) as system:
        assert command(system.container, *OPTIONS).exit_code == 2
        assert command(system.container, *OPTIONS, "--password=another one").exit_code == 0
        assert seed_small_once(system.container)() is None


def replaced(known: Settings, **changes: Any) -> Settings:
    return Settings(**{**{name: getattr(known, name) for name in Settings.__dataclass_fields__}, **changes})


def started(directory: Path) -> AbstractContextManager[System]:
    return running(replaced(Settings(), **embedded(directory)))


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SeededLogin]:
    """The file after a first start, and the login that it returned."""
    directory = tmp_path_factory.mktemp("seeded")
    with started(directory) as system:
        login = seed_small_once(system.container)()
    assert isinstance(login, SeededLogin)
    return directory / "quartet.db", login


@pytest.mark.live
class TestFirstStart:
    @pytest.fixture
    def system(self, tmp_path: Path) -> Iterator[System]:
        with started(tmp_path) as system:
            yield system

    @pytest.fixture
    def again(self, seeded: tuple[Path, SeededLogin], tmp_path: Path) -> Iterator[System]:
        shutil.copy(seeded[0], tmp_path / "quartet.db")
        with started(tmp_path) as system:
            yield system

    def test_gives_an_account_to_sign_in_with(self, seeded: tuple[Path, SeededLogin], again: System) -> None:
        body = {"login": seeded[1].handle, "password": seeded[1].password}
        assert again.anybody().post("/sessions", body, 201)["token"]

    def test_loads_once(self, seeded: tuple[Path, SeededLogin], again: System, monkeypatch: pytest.MonkeyPatch) -> None:
        delete_post(again.container, Plan(sizes()))
        monkeypatch.setattr(Loader, "load", None)
        assert seed_small_once(again.container)() == seeded[1]

    def test_goes_on_after_an_interruption(self, system: System, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(KeyboardInterrupt):
            load(system.container, Plan(sizes()), Interrupted("author timelines", batches=2))
        seed_small_once(system.container)
        assert capsys.readouterr().out == ""
        assert differences(system.container, Plan(sizes())) == []

    def test_does_not_print_a_changed_password(self, seeded: tuple[Path, SeededLogin], again: System) -> None:
        relational = again.container.stores.relational
        with relational.transaction() as tx:
            known = relational.accounts.login(seeded[1].handle)
            assert known
            tx.accounts.set_password(known.account_id, "another", if_hash=known.password_hash)
        assert seed_small_once(again.container)() is None


def test_transient_errors_of_a_store_are_retried(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_all_times_of_a_plan_are_before_until(number: int) -> None:
    earlier = Plan(TINY, seed=number, until=datetime(2026, 3, 1, tzinfo=UTC))
    assert max(post.created_at for post in everything(earlier)["posts"]) < earlier.until


def test_roles_are_named_as_the_settings_name_them(container: Container, plan: Plan) -> None:
    assert {step.role for step in Loader(container, plan, "-").steps()} <= set(ROLES)
