"""The token bucket of deliveries."""

from app.services.feeds.delivery_budget import BURST_SECONDS, DeliveryBudget


class SettableSeconds:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_no_rate_is_no_limit() -> None:
    budget = DeliveryBudget(0, SettableSeconds())
    assert all(budget.take(10**9) for _ in range(3))
    assert budget.idle()


def test_unused_budget_is_kept_up_to_one_burst() -> None:
    seconds = SettableSeconds()
    budget = DeliveryBudget(100, seconds)
    burst = int(100 * BURST_SECONDS)
    assert budget.take(burst)
    assert not budget.take(1)
    seconds.now += 0.5
    assert budget.take(50)
    assert not budget.take(1)
    seconds.now += 1000
    assert budget.take(burst)
    assert not budget.take(1)


def test_a_chunk_above_the_burst_passes_a_full_bucket_and_is_paid_for() -> None:
    seconds = SettableSeconds()
    budget = DeliveryBudget(10, seconds)
    assert budget.take(1000)
    assert not budget.take(1)
    assert not budget.idle()
    seconds.now += 98.5
    assert not budget.take(10)
    seconds.now += 2.0
    assert budget.take(10)


def test_a_refusal_costs_nothing() -> None:
    seconds = SettableSeconds()
    budget = DeliveryBudget(10, seconds)
    assert budget.take(15)
    assert not budget.take(6)
    assert budget.take(5)
