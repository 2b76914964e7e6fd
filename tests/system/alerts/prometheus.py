"""Prometheus and promtool, from the distribution's package."""

import json
import os
import re
import shutil
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.engines import Server
from tests.engines.kernel import free_port

FOLDER = Path(__file__).parents[3] / "deploy" / "prometheus"
RULES = FOLDER / "quartet.rules.yml"
SECONDS = {"s": 1, "m": 60, "h": 3600}
LENGTH = re.compile(r"(?<=\[)(\d+)([smh])(?=\])|(?<=for: )(\d+)([smh])")
Firing = set[tuple[str, str]]


def command(name: str) -> str:
    """The path of a command. If it is not installed, skips, or fails where it is required."""
    found = shutil.which(name)
    if found is None:
        missing = f"{name} is missing: install the package prometheus"
        if os.environ.get("QUARTET_ENGINES") == "required":
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def shortened(rules: str, times: int) -> str:
    """The rules, with every duration divided by `times`."""

    def short(found: re.Match[str]) -> str:
        number, unit = found[1] or found[3], found[2] or found[4]
        return f"{int(number) * SECONDS[unit] * 1000 // times}ms"

    return LENGTH.sub(short, rules)


class Prometheus:
    def __init__(self, url: str) -> None:
        self.url = url

    def asked(self, path: str, **query: str) -> Any:
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  our own server
            return json.load(answer)["data"]

    def firing(self) -> Firing:
        """The firing alerts, each with the store, outbox or sink that it is about."""
        found = (one["labels"] for one in self.asked("alerts")["alerts"] if one["state"] == "firing")
        about = ("store", "truth", "sink")
        return {(labels["alertname"], next((labels[one] for one in about if one in labels), "")) for labels in found}

    def value(self, expression: str) -> float:
        """The value of a query's first sample; 0 if there is none."""
        found = self.asked("query", query=expression)["result"]
        return float(found[0]["value"][1]) if found else 0.0


@contextmanager
def running(target: int, times: int, every: str = "500ms") -> Iterator[Prometheus]:
    """A Prometheus that scrapes this port, with the durations in the rules divided by `times`."""
    binary, folder, port = command("prometheus"), Path(tempfile.mkdtemp(prefix="prometheus-")), free_port()
    (folder / "quartet.rules.yml").write_text(shortened(RULES.read_text(), times))
    (folder / "prometheus.yml").write_text(
        f"global: {{scrape_interval: {every}, scrape_timeout: {every}, evaluation_interval: {every}}}\n"
        "rule_files: [quartet.rules.yml]\n"
        f"scrape_configs: [{{job_name: quartet, static_configs: [{{targets: ['127.0.0.1:{target}']}}]}}]\n"
    )
    found = Prometheus(f"http://127.0.0.1:{port}")
    options = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    options += [f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage", "--log.level=warn"]
    server = Server(found.url, [binary, *options], folder, lambda: _is_ready(found))
    try:
        server.start()
        yield found
    finally:
        server.discard()
        shutil.rmtree(folder)
        server.log.unlink(missing_ok=True)
        folder.with_suffix(".pid").unlink(missing_ok=True)


def _is_ready(found: Prometheus) -> bool:
    try:
        return found.value("up") == 1
    except (OSError, urllib.error.HTTPError):
        return False
