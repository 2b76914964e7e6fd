"""Writes `consistency.md` out of `consistency.toml`: `make consistency`."""

import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
HEAD = "| store | what | asked for | what is seen | what survives | replica |\n|---|---|---|---|---|---|\n"


def page(source: dict[str, Any]) -> str:
    table = source["row"]
    text: str = source["about"] + HEAD
    for row in table:
        asks = "; ".join(row["asks"]) or "nothing"
        replica = "yes" if row["replica"] else "no"
        text += f"| {row['store']} | {row['name']} | {asks} | {row['sees']} | {row['survives']} | {replica} |\n"
    text += "\n## Operations\n"
    for row in table:
        parts = defaultdict(list)
        for operation in row["operations"]:
            part, _, name = operation.rpartition(".")
            parts[part].append(name)
        text += f"\n**{row['store']}, {row['name']}**\n\n"
        text += "".join(f"- `{part}`: {', '.join(names)}\n" for part, names in sorted(parts.items()))
    return text


if __name__ == "__main__":
    (HERE / "consistency.md").write_text(page(tomllib.loads((HERE / "consistency.toml").read_text())))
