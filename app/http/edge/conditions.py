"""If-Match as sent, for the rules to judge."""

import re

from flask import request

from app.services.commands.precondition import Precondition

TAG = re.compile(r'^"(\d{1,18})-[0-9a-f]{16}"$')


def if_match() -> Precondition:
    """Weak or foreign entity tags match nothing, as a strong comparison wants (RFC 9110, section 13.1.1)."""
    sent = request.headers.get("If-Match")
    if sent is None:
        return Precondition()
    tags = [t.strip() for t in sent.split(",")]
    found = (TAG.match(t) for t in tags)
    return Precondition(given=True, any="*" in tags, versions=frozenset(int(m[1]) for m in found if m))
