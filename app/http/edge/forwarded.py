"""The client's address as reported by proxies, in `X-Forwarded-For` or `Forwarded` (RFC 7239).

A WSGI environ has the same key for `X-Forwarded-For` and `X_Forwarded_For`, so a client could send the second past
proxies that know only the first. `Forwarded` has no dash and thus no second spelling.
"""

import re
from collections.abc import Mapping
from typing import Any

HEADERS = ("X-Forwarded-For", "Forwarded")
_PAIR = re.compile(r"""[ \t]*([A-Za-z]+)=("[^"]*"|[^";]*)(?:;|$)""")


def last(environ: Mapping[str, Any], header: str, proxies: int) -> str | None:
    """The entry that the outermost of our own proxies appended: the `proxies`-th from the right.

    None if there are fewer entries, or if the element of `Forwarded` has no `for`.
    """
    field = str(environ.get(f"HTTP_{header.replace('-', '_').upper()}", ""))
    if header == "Forwarded":
        element = _from_right(field, proxies)
        return None if element is None else _for(element)
    seen = [part for part in field.split(",") if part.strip()]
    return seen[-proxies] if len(seen) >= proxies else None


def _from_right(field: str, number: int) -> str | None:
    """The `number`-th element of a `Forwarded` header from the right, where our own proxies append.

    Parsed from the right, so that a quote left open by the client cannot swallow their elements.
    """
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
    """The value of `for` in an element. Parsed pair by pair, since the client controls the value of `host="..."`."""
    at = 0
    while pair := _PAIR.match(element, at):
        if pair[1].lower() == "for":
            return pair[2]
        if pair.end() == len(element):
            break
        at = pair.end()
    return None
