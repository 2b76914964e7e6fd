"""Access to the console: by its token, or, in development without a token, from this machine only.

The session is a signed cookie that needs no store, because the console has to work while stores are away. Whether a
session has been ended is looked up separately (`ConsoleSessions`). Changing the token ends all sessions.
"""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import timedelta
from ipaddress import ip_address
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import itsdangerous
from flask import Request, Response

from app.errors import Unauthenticated

COOKIE = "quartet_console"
LIFETIME = timedelta(hours=8)
PATH = "/console"
SIGNED = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
# Hosts allowed without a token, against DNS rebinding: the page of a site whose name resolves to this machine sends
# that site's name as the host.
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class Operators:
    """Checks the console's token, cookies and forms.

    `secrets` are newest first: the first one signs, all verify. `secure`: the cookie is sent over TLS only.
    """

    def __init__(self, token: str, secrets: Sequence[str], *, secure: bool) -> None:
        self.needs_token = bool(token)
        self._token = token.encode()
        self._secure = secure
        keys = list(reversed(secrets))
        of_token = hashlib.sha256(self._token).hexdigest()
        self._cookies = itsdangerous.URLSafeTimedSerializer(keys, salt=f"console:{of_token}", signer_kwargs=SIGNED)
        self._forms = itsdangerous.URLSafeSerializer(keys, salt=f"console form:{of_token}", signer_kwargs=SIGNED)

    def check(self, sent: str) -> None:
        """Raise `Unauthenticated` unless `sent` is the console's token."""
        if not (self.needs_token and hmac.compare_digest(sent.encode(), self._token)):
            raise Unauthenticated("this is not the console's token")

    def admits(self, request: Request, address: str) -> bool:
        """Whether this request may be answered at all. Without a token, its address and host must be this machine."""
        return self.needs_token or (_is_local(address) and _name_of(request.host) in LOCAL_NAMES)

    def session(self, request: Request) -> UUID | None:
        """The session id in the cookie; None without a valid one. The session may have been ended since."""
        try:
            return UUID(self._cookies.loads(request.cookies.get(COOKIE, ""), max_age=int(LIFETIME.total_seconds())))
        except (itsdangerous.BadData, ValueError):
            return None

    def begin(self) -> UUID:
        return uuid4()

    def keep(self, response: Response, session: UUID) -> None:
        response.set_cookie(
            COOKIE,
            self._cookies.dumps(str(session)),
            max_age=LIFETIME,
            path=PATH,
            secure=self._secure,
            httponly=True,
            samesite="Strict",
        )

    def forget(self, response: Response) -> None:
        response.delete_cookie(COOKIE, path=PATH, secure=self._secure, httponly=True, samesite="Strict")

    def form_token(self, session: UUID) -> str:
        """The CSRF token for forms of this session: pages of other sites do not have it."""
        return str(self._forms.dumps(str(session)))

    def is_own_form(self, request: Request, session: UUID) -> bool:
        """Whether a form was sent by this session's own page: by its token and by `Sec-Fetch-Site` (Fetch Metadata)."""
        if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            return False
        try:
            return bool(self._forms.loads(request.form.get("form_token", "")) == str(session))
        except itsdangerous.BadData:
            return False


def _name_of(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _is_local(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
