"""A real mail server in the test's process, which keeps the mails it receives."""

import gc
import re
import ssl
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller

CERTIFICATE = Path(__file__).parent / "unit" / "localhost.pem"
TOKEN = re.compile(r"^(?:https?://\S+#token=)?([\w-]{43})$", re.MULTILINE)


class MailHandler:
    """The handler for aiosmtpd. `answer` is the reply to DATA, `refused` that to each recipient, if it is not empty."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.encrypted: list[bool] = []
        self.answer = "250 kept"
        self.refused = ""

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802
        if self.refused:
            return self.refused
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.answer.startswith("250"):
            self.encrypted.append(session.ssl is not None or server.transport.get_extra_info("ssl_object") is not None)
            content: bytes = envelope.content.replace(b"\r\n", b"\n")
            self.mails.append(message_from_bytes(content, policy=policy.default))
        return self.answer

    @property
    def tokens(self) -> list[str]:
        return [token for mail in self.mails for token in TOKEN.findall(mail.get_content())]


class _Server(Controller):
    """Listens on any free port."""

    def _trigger_server(self) -> None:
        """Note the port before the base class connects to it."""
        listening: Any = self.server
        self.port = listening.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


@contextmanager
def mail_server(**options: Any) -> Iterator[tuple[MailHandler, int]]:
    """A running server: its handler, and its port on localhost. `options` are for aiosmtpd's controller and server."""
    kept = MailHandler()
    controller = _Server(kept, hostname="127.0.0.1", port=0, **options)
    controller.start()
    try:
        yield kept, controller.port
    finally:
        controller.stop()
        del controller
        # The controller leaves connections open, which would cause warnings in another test.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
