"""Every rule applies exactly from its threshold on, and the documentation matches it."""

import importlib.util
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from string import Formatter

import pytest

from app.doctor.advice.rule import Bound, Rule, judged, rules
from repositories.observer_port import Observed, Subject

ROOT = Path(__file__).parents[3]
LADDER = ROOT / "docs" / "growing.md"
STEP = {">=": -1e-4, "<=": 1e-4, "==": 0.5}


def subject(rule: Rule, *bounds: Bound) -> Subject:
    """A subject just within the bounds, with everything else that the rule's texts mention."""
    beside = {name for text in (rule.words, rule.command) for _, name, *_ in Formatter().parse(text) if name}
    figures = {bound.figure: bound.value for bound in bounds if isinstance(bound.value, float)}
    words = {one.figure: "" if one.sign == "!=" else one.value for one in bounds if isinstance(one.value, str)}
    figures |= dict.fromkeys(beside - {"name", "place"} - words.keys() - figures.keys(), 7.0)
    return Subject(rule.kind, words.pop("name", "it"), figures, words)


def says(rule: Rule, found: Subject) -> int:
    # The roles on the server are not figures, but passed separately.
    roles = [bound.figure.removeprefix("serves_") for bound in rule.bounds if bound.figure.startswith("serves_")]
    return len(list(judged(Observed(rule.engine, "here", (found,), ()), roles, [rule])))


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: f"{rule.engine} {rule.name}")
def test_a_rule_applies_from_its_threshold_on(rule: Rule) -> None:
    bounds = rule.bounds
    assert len(bounds) == len(rule.when), rule.when
    assert says(rule, subject(rule, *bounds)) == 1
    for number, bound in enumerate(bounds):
        opposite = {"==": "!=", "!=": "=="}.get(bound.sign, bound.sign)
        beyond = bound.value if isinstance(bound.value, str) else bound.value + STEP[bound.sign]
        changed = Bound(bound.figure, opposite if isinstance(beyond, str) else bound.sign, beyond)
        if not bound.figure.startswith("serves_"):
            assert says(rule, subject(rule, *bounds[:number], changed, *bounds[number + 1 :])) == 0, bound
    # An unknown figure is never within a bound.
    assert says(rule, Subject(rule.kind, "it")) == all(one.figure.startswith("serves_") for one in bounds)


def test_rule_names_are_unique_per_engine() -> None:
    names = sorted((rule.engine, rule.name) for rule in rules())
    assert [one for one, other in pairwise(names) if one == other] == []


def test_the_page_has_the_rules() -> None:
    spec = importlib.util.spec_from_file_location("advice_page", ROOT / "docs" / "advice.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = (ROOT / "docs" / "advice.md").read_text()
    assert page == module.written(page), "run: make advice"


def test_each_section_on_growing_names_its_rules_and_their_thresholds() -> None:
    sections = dict(re.findall(r"^## (.+?)\n(.+?)(?=^## |\Z)", LADDER.read_text(), re.MULTILINE | re.DOTALL))
    by_anchor = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-"): text for title, text in sections.items()}
    rungs = [rule for rule in rules() if rule.page.startswith("growing.md")]
    assert {rule.page.partition("#")[2] for rule in rungs} == by_anchor.keys() - {"what-each-rung-costs-and-gives"}
    for rule in rungs:
        text = " ".join(by_anchor[rule.page.partition("#")[2]].split())
        assert f"`{rule.name}`" in text, rule.name
        assert [bound for bound in rule.when if f"`{bound}`" not in text] == [], rule.name


def test_the_command_line_does_not_import_prometheus_client() -> None:
    """Importing prometheus-client fixes it, so it must not happen before a server has set the folder of its series."""
    code = "import app.cli, sys; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_pages_named_by_rules_exist() -> None:
    for rule in rules():
        page, _, anchor = rule.page.partition("#")
        text = (ROOT / "docs" / page).read_text()
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert not anchor or anchor in anchors, rule.page
