"""The client's address as proxies report it, in `X-Forwarded-For` or in `Forwarded` (RFC 7239).

A WSGI environ has one name for `X-Forwarded-For` and `X_Forwarded_For`, so a client could send the second. `Forwarded`
has no dash, so there is no second spelling of it.
"""

import re
from collections.abc import Mapping
from typing import Any

HEADERS = ("X-Forwarded-For", "Forwarded")
_PAIR = re.compile(r"""[ \t]*([A-Za-z]+)=("[^"]*"|[^";]*)(?:;|$)""")


def last(environ: Mapping[str, Any], header: str, proxies: int) -> str | None:
    """What the outermost of our `proxies` wrote, which is the first of the last so many entries. None for none."""
    field = str(environ.get(f"HTTP_{header.replace('-', '_').upper()}", ""))
    if header == "Forwarded":
        element = _from_right(field, proxies)
        return None if element is None else _for(element)
    seen = [part for part in field.split(",") if part.strip()]
    return seen[-proxies] if len(seen) >= proxies else None


def _from_right(field: str, number: int) -> str | None:
    """Read from where our own proxies write: a quote that a client leaves open takes nothing of theirs in."""
    end, quoted = len(field), False
    for at in range(len(field) - 1, -2, -1):
        if at < 0 or (field[at] == "," and not quoted):
            number -= bool(field[at + 1 : end].strip())
            if number == 0:
                return field[at + 1 : end]
            end = at
        elif field[at] == '"':
            quoted = not quoted
    return None


def _for(element: str) -> str | None:
    """Pair by pair, since `host="..."` is what a client has sent."""
    at = 0
    while pair := _PAIR.match(element, at):
        if pair[1].lower() == "for":
            return pair[2]
        if pair.end() == len(element):
            break
        at = pair.end()
    return None
