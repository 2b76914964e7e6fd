"""`Accept-Encoding` (RFC 9110, section 12.5.3): chooses the content coding of an answer.

Only answers to GET and HEAD are compressed. An answer to POST may hold a token beside text chosen by the caller: the
compressed length of both together leaks information about the token (BREACH, CVE-2013-3587).
"""

import re
from functools import lru_cache

from app.services.pages.compression import CODINGS, LEAST_BYTES

FIELD = "Content-Encoding"
_MEMBER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:[ \t]*;[ \t]*[qQ]=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?))?")


def wanted(sent: str | None, body: bytes) -> str:
    """The coding for this body, or "" for none. `sent` is the value of `Accept-Encoding`."""
    return chosen(sent) if sent and len(body) >= LEAST_BYTES else ""


@lru_cache(256)
def chosen(sent: str) -> str:
    """The coding of greatest weight; of equal weights the one that compresses better; "" if `identity` weighs more.

    `*` counts for gzip, which all clients know. A member that does not match the grammar is ignored. A client that
    refuses every coding, `identity` included, gets plain bytes.
    """
    members = (_MEMBER.fullmatch(member.strip(" \t")) for member in sent.split(","))
    weights = {found[1].lower(): float(found[2] or 1) for found in members if found}
    others = weights.pop("*", 0.0)
    weights.setdefault("gzip", weights.pop("x-gzip", others))
    plain = weights.get("identity", 0.0)
    best = max(CODINGS, key=lambda coding: weights.get(coding, 0.0))
    weight = weights.get(best, 0.0)
    return best if weight > 0 and weight >= plain else ""


def marked(etag: str, coding: str, known: str = "") -> str:
    """The entity tag of the coded form. Conditional requests accept it and the plain one (`conditions.py`).

    For a 304, `known` is the value of `If-None-Match`: if it has the plain tag, the plain tag is returned.
    """
    return f'{etag[:-1]}-{coding}"' if coding and etag not in known else etag
