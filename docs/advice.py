"""Writes the tables of advice.md anew out of the rules: `make advice`."""

import re
from itertools import groupby
from pathlib import Path

from app.doctor.advice.rule import Rule, rules

PAGE = Path(__file__).parent / "advice.md"
BETWEEN = re.compile(r"(?<=<!-- rules -->\n).*(?=<!-- end of rules -->)", re.DOTALL)


def written(page: str) -> str:
    return BETWEEN.sub(lambda _: "".join(_tables()), page)


def _tables() -> list[str]:
    found = []
    for engine, some in groupby(sorted(rules(), key=lambda rule: rule.engine), key=lambda rule: rule.engine):
        title = "Our own series" if engine == "Quartet" else engine
        found.append(f"\n### {title}\n\n| rule | reads | fires when | because |\n|---|---|---|---|\n")
        found += [_row(rule) for rule in some]
    return [*found, "\n"]


def _row(rule: Rule) -> str:
    when = ", ".join(f"`{bound}`" for bound in rule.when)
    return f"| `{rule.name}` | {rule.reads} | {when} | {rule.because} |\n"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
