"""A real server with more requests than it can answer in time."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.apps import PASSWORD
from tests.engines.kernel import wait_until
from tests.system.live import Answer, Client, Live, migrated
from tests.system.test_metrics_live import scraped, total

pytestmark = pytest.mark.live
CLIENTS = 24


def test_requests_that_would_wait_too_long_get_a_503_and_others_are_answered(tmp_path: Path) -> None:
    migrated(tmp_path)
    # One request slot, and a shorter wait than a password hash takes.
    live = Live(tmp_path, WORKERS="1", THREADS="1", QUEUE_SECONDS="0.0001")

    def register(number: int) -> Answer:
        with closing(Client(live.port)) as client:
            login = {"handle": f"ada_{number}", "password": PASSWORD}
            more = {"email": f"ada_{number}@example.com", "display_name": "Ada"}
            return client.send("POST", "/accounts", login | more)

    try:
        live.answering()
        with ThreadPoolExecutor(CLIENTS) as pool:
            answers = list(pool.map(register, range(2 * CLIENTS)))
        made = [answer for answer in answers if answer.status == 201]
        refused = [answer for answer in answers if answer.status == 503]
        assert len(made) + len(refused) == len(answers)
        assert made
        assert refused
        for answer in refused:
            assert (answer.headers["content-type"], answer.headers["retry-after"]) == ("application/problem+json", "1")
            assert answer.body["code"] == "overloaded"
            assert answer.body["request_id"] == answer.headers["x-request-id"]
        with closing(Client(live.port)) as client:
            assert client.send("GET", "/health/ready").status == 200
        # The refusals are counted a moment later.
        assert wait_until(lambda: total(scraped(live.port), "requests_refused_total") == len(refused), 30)
    finally:
        live.close()
