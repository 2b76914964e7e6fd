"""The lag histogram: percentiles are accurate to two per cent."""

import random
from datetime import timedelta

import pytest

from app.services.feeds.lag_histogram import Counts, added, percentile


def test_nothing_delivered_has_no_percentile() -> None:
    assert percentile((), 0.5) is None


def test_less_than_a_millisecond_counts_as_one() -> None:
    assert percentile(added((), timedelta(microseconds=-5), 3), 0.99) == pytest.approx(1.0)


def test_percentiles_are_those_of_the_deliveries() -> None:
    chance = random.Random(7)  # noqa: S311 - test data
    lags = sorted(chance.lognormvariate(5, 2) + 1 for _ in range(2000))
    counts: Counts = ()
    for lag in chance.sample(lags, len(lags)):
        counts = added(counts, timedelta(milliseconds=lag), 10)
    for share in (0.01, 0.5, 0.9, 0.99, 1.0):
        exact = lags[max(0, round(share * len(lags)) - 1)]
        found = percentile(counts, share)
        assert found is not None
        assert exact * 0.98 <= found <= exact * 1.04
