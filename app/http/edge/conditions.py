"""Reads If-Match and If-None-Match (RFC 9110, sections 8.8.3 and 13.1).

Why a tag that a proxy has weakened still names a version: `docs/decisions/0014-weakened-tags.md`.
"""

import re

from flask import request

from app.services.commands.precondition import Precondition

ENTITY_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
LIST = re.compile(rf"[ \t,]*{ENTITY_TAG.pattern}(?:[ \t]*,[ \t,]*{ENTITY_TAG.pattern})*[ \t,]*")
# An entity tag made by Quartet. Quartet and compressing proxies append the name of the content coding.
OWN = re.compile(r"((?:(\d{1,18})-)?[0-9a-f]{16})(?:-{1,2}[A-Za-z0-9]{1,16}){0,2}")


def if_match() -> Precondition:
    sent = request.headers.get("If-Match")
    if sent is None:
        return Precondition()
    found = _own(sent)
    versions = frozenset(int(m[2]) for m in found if m[2])
    return Precondition(given=True, any=is_any(sent), versions=versions, tags=frozenset(m[1] for m in found))


def is_known(etag: str, sent: str | None) -> bool:
    """Whether If-None-Match (`sent`) has this entity tag, compared weakly and regardless of the content coding.

    `etag` is the tag of the uncompressed form, with its quotes.
    """
    if sent is None or sent == etag:
        return sent is not None
    return is_any(sent) or any(found[1] == etag[1:-1] for found in _own(sent))


def is_any(sent: str) -> bool:
    return sent.strip(" \t") == "*"


def _own(sent: str) -> list[re.Match[str]]:
    """The tags of a list that were made by Quartet. Empty if `sent` is not a well-formed list of entity tags."""
    opaque = ENTITY_TAG.findall(sent) if LIST.fullmatch(sent) else []
    return [found for tag in opaque if (found := OWN.fullmatch(tag))]
