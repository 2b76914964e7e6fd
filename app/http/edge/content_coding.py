"""`Accept-Encoding` (RFC 9110, section 12.5.3): in which coding an answer is sent.

Only answers to GET and HEAD are compressed. Those to POST may hold a token, and text of the caller's choice beside it:
the length of the two compressed together would tell something about the token (BREACH, CVE-2013-3587).
"""

import re
from functools import lru_cache

from app.services.pages.compression import CODINGS, LEAST_BYTES

FIELD = "Content-Encoding"
_MEMBER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:[ \t]*;[ \t]*[qQ]=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?))?")


def wanted(sent: str | None, body: bytes) -> str:
    """The coding for this body, "" for none."""
    return chosen(sent) if sent and len(body) >= LEAST_BYTES else ""


@lru_cache(256)
def chosen(sent: str) -> str:
    """The coding of greatest weight, of equal ones the better one; "" where the plain bytes weigh more.

    `*` stands for gzip, which everybody knows. A member that does not fit the grammar counts as not sent. Plain bytes
    are sent also to who refuses them along with everything else.
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
    """The entity tag of the coded form. Conditions take either (`conditions.py`).

    In a 304, whose client has what `known` names, it is the plain one where that is what it has.
    """
    return f'{etag[:-1]}-{coding}"' if coding and etag not in known else etag
