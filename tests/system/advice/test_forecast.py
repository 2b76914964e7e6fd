"""The forecast of the day on which a limit is reached: for linear growth, with noise, and for the relay's samples."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.doctor.advice.forecast import _student, forecast
from app.worker.sampling import KEPT, Sampling
from config import Settings
from repositories.relational.levels_port import LevelSample
from repositories.sqlite.file import path_of
from tests.apps import System, embedded, running
from tests.system.advice.asking import advised

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def samples(value: Callable[[float], float], days: int = 30, most: int | None = 1000) -> list[LevelSample]:
    """Hourly samples up to now; `value` takes the days since the first."""
    first, hours = NOW - days * DAY, days * 24 + 1
    return [LevelSample("bytes", first + n * HOUR, round(value(n / 24)), most) for n in range(hours)]


def test_linear_growth_reaches_its_limit_on_the_right_day() -> None:
    found = forecast(samples(lambda day: 100 + 20 * day))
    assert found is not None
    # 700 now, growing by 20 a day, 300 left.
    assert (found.value, found.limit, round(found.growth_a_day, 1), round(found.days, 1)) == (700, 1000, 20, 15)
    assert found.latest is not None
    assert found.earliest <= found.days <= found.latest < found.earliest + 0.5
    assert found.date(found.days) == "2026-03-16"
    assert found.points == 31


def test_each_day_counts_with_its_highest_hour() -> None:
    found = forecast(samples(lambda day: 100 + 20 * int(day) + (50 if 0.4 < day % 1 < 0.6 else 0)))
    assert found is not None
    assert round(found.growth_a_day) == 20
    assert 11 < found.days < 14


def test_twelve_hours_of_samples_suffice_for_fast_growth() -> None:
    first = NOW - 12 * HOUR
    found = forecast([LevelSample("bytes", first + n * HOUR, 100 + 10 * n, 300) for n in range(13)])
    assert found is not None
    assert round(found.days * 24, 2) == 8


@pytest.mark.parametrize(
    "value",
    [lambda _: 500.0, lambda day: 900 - day, lambda day: 500 + 40 * (day * 7 % 1), lambda day: 100 + day / 10],
    ids=["flat", "falling", "a cycle", "out of sight"],
)
def test_values_that_do_not_grow_to_their_limit_have_no_forecast(value: Callable[[float], float]) -> None:
    assert forecast(samples(value)) is None


def test_few_samples_or_no_limit_give_no_forecast() -> None:
    assert forecast([]) is None
    assert forecast(samples(lambda day: 100 + 20 * day)[:5]) is None
    assert forecast(samples(lambda day: 100 + 20 * day, most=None)) is None
    assert forecast(samples(lambda day: 100 + 20 * day, most=None), 1000.0) is not None


def test_a_value_above_its_limit_has_reached_it_now() -> None:
    found = forecast(samples(lambda day: 500 + 20 * day))
    assert found is not None
    assert (found.days, found.earliest) == (0, 0)


def test_the_interval_contains_the_day_in_nine_of_ten_cases() -> None:
    """For noisy lines with a known day (seeded), at least nine in ten intervals contain the day."""
    noise, within = random.Random(7), 0  # noqa: S311  seeded on purpose
    for _ in range(200):
        found = forecast([one for one in samples(lambda day: 100 + 20 * day + noise.gauss(0, 40)) if one.at.hour == 0])
        assert found is not None
        latest = found.latest if found.latest is not None else float("inf")
        within += found.earliest <= 15 <= latest
    assert within >= 180


def test_the_student_quantile_matches_the_tables() -> None:
    tables = {6: 1.943, 8: 1.860, 10: 1.812, 20: 1.725, 30: 1.697, 60: 1.671}
    assert all(abs(_student(free) - table) < 0.002 for free, table in tables.items())


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with running(Settings(**embedded(tmp_path), relay="external")) as found:
        yield found


def test_the_relay_notes_each_hour_once_and_forgets(system: System) -> None:
    store = system.container.stores.relational
    now = [NOW]
    one, other = (Sampling(store, system.container.urls, lambda: now[0]) for _ in range(2))
    assert (one.tick(), one.tick(), other.tick()) == (1, 0, 1)
    assert [(kept.level, kept.at) for kept in store.levels.since(NOW)] == [("relational bytes", NOW)]
    now[0] = NOW + HOUR
    assert one.tick() == 1
    assert len(store.levels.since(NOW)) == 2
    now[0] = NOW + KEPT + HOUR
    assert one.tick() == 1
    assert [kept.at for kept in store.levels.since(NOW - KEPT)] == [NOW + HOUR, now[0]]


def test_a_disk_that_fills_up_is_seen_weeks_before(system: System) -> None:
    store = system.container.stores.relational
    assert advised(system.container) == []
    now, size = store.now(), float(path_of(system.container.settings.relational_url).stat().st_size)
    with store.transaction() as tx:
        # Growth by a twentieth of the present size each day.
        past = [LevelSample("relational bytes", now - day * DAY, round(size * (1 - day / 20))) for day in range(1, 15)]
        tx.levels.note(past, forget=now - KEPT)
    assert advised(system.container) == []
    [found] = advised(system.container, limits={"relational bytes": size * 1.5})
    assert (found.rule, found.about) == ("limit-ahead", "relational bytes")
    # Half of the present size is left, enough for ten days.
    assert 9 < found.figures["days"] < 11
    assert (now + 10 * DAY).date().isoformat() in found.words
    assert "standard error" in found.words
    ample = {"relational bytes": size * 5}
    assert advised(system.container, limits=ample) == []
